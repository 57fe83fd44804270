"""Who may touch a queue, and what hostile data may do: nothing."""
