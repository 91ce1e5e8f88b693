from tests.e2e.conftest import fragile_weights

__all__ = ["fragile_weights"]
