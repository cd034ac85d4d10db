import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed():
    """Tiny tensors gain nothing from threads, and no test depends on the one before."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
