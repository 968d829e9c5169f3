"""Running servers that say which prompt they make: one module a protocol, one client for all."""
