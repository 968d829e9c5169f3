"""What the precision track's documents say about a card, measured anew: `python -m tools.gpu_evidence PART FOLDER`."""
