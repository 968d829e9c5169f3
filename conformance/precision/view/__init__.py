"""What a person sees: tables, plots, the terminal."""
