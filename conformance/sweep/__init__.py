"""Many templates on many engines: judged by any executor, kept as they come, resumed after a kill."""
