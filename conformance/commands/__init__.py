"""What the commands do; the command line itself is in cli.py, which imports these only when they run."""
