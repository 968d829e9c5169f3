"""gpt-oss's attention in the same form as the experts: a reference, an error model, paths, planted faults."""
