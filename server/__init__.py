"""The server: Llama-3.3-70B on vLLM, on Modal or on your own GPUs. Start reading at `server/app.py`."""
