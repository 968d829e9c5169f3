"""What is judged: whatever turns a request into a prompt. A template on engines, a running server, a program."""
