"""Running servers that say which prompt they make: one module a protocol, one client for all."""

# The variable of the environment that holds the key of a server, unless another is named.
KEY_VARIABLE = "CONFORMANCE_API_KEY"
