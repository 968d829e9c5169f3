"""What a gate makes of a report: which rules count, how much, what is known already, and what fails."""
