"""Start, watch and end the processes of the server."""
