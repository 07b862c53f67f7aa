"""What a Pod's manifest asks for, read without the API server."""
