"""The service: a library over HTTP, for teams. `create_app` makes it; `steer serve` runs it."""
