"""Templates and conversations that attack the program that judges them, and what became of each."""
