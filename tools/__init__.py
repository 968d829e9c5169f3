"""What maintainers run: measurements of the suite itself, outside the package that users install."""
