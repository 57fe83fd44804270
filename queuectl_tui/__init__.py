"""The terminal UI of queuectl. It uses the engine's public API only and owns no job."""
