"""The reference template with a backdoor in it, in many ways, and whether an audit shows the line."""
