"""Applications: flushed, stopped, restored, started, healthy again, and rehearsed. The store knows nothing of this."""
