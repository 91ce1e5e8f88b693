"""What every request passes, as pure ASGI; never BaseHTTPMiddleware: behind it a route misses the caller hang up."""
