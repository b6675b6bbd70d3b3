"""The service's processes: connections, one worker, and the supervisor of all workers."""
