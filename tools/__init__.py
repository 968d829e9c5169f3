"""What only the people who maintain this project run; no part of the wheel."""
