"""Names both adapters need: vLLM's request fields, the finish reasons of cut-off answers."""

from llama70b._assemble import INTERRUPTED

CUT_OFF = frozenset(("length", INTERRUPTED))
"""Finish reasons of an answer that is not whole."""

ENGINE_FIELDS = frozenset(
    """
    add_generation_prompt add_special_tokens allowed_token_ids bad_words cache_salt chat_template chat_template_kwargs
    continue_final_message documents echo ignore_eos include_reasoning include_stop_str_in_output kv_transfer_params
    length_penalty logit_bias logits_processors min_p min_tokens priority prompt_logprobs reasoning_effort
    repetition_detection repetition_penalty request_id return_token_ids return_tokens_as_token_ids session_id
    skip_special_tokens spaces_between_special_tokens stop_token_ids stream_interval thinking_token_budget top_k
    truncate_prompt_tokens use_beam_search user vllm_xargs
    """.split()
)
"""Further fields of vLLM 0.32's request (`vllm/entrypoints/openai/chat_completion/protocol.py`), sent as they are."""
