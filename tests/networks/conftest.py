import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Networks on tiny images gain nothing from threads, which only wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
