"""Requests as a log has them: read line by line, translated where another interface wrote them, put in other words."""
