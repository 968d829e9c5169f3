"""What a campaign costs, beside the bare renders and beside other tools: `python -m tools.bench`."""
