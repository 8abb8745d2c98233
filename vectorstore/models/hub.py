"""Hub: whether the Hugging Face hub can be reached, asked once instead of by each of its library's many attempts."""

from __future__ import annotations

from huggingface_hub import constants, get_session, hf_hub_url


def hub_answers(model: str, revision: str | None) -> bool:
    """Return whether the hub says anything about a model, be it that there is none.

    Its library asks for every file anew, and six times over half a minute for one that is not in the cache.

    Args:
        model: a hub id.
        revision: a branch, tag or commit; None for the default branch.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    url = hf_hub_url(model, "config.json", revision=revision)
    try:
        get_session().head(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # noqa: BLE001 - each version of that library has another HTTP client
        return False
    return True
