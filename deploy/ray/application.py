"""The Serve application: an ingress, which is the plain service but for its devices, and those, the restorers."""

from fastapi import FastAPI
from pydantic import BaseModel, Field
from ray import serve

from app.main import create_app
from app.settings import Settings
from app.telemetry.logs import configure_logs
from deploy.ray.restorer import RemoteRunner, Restorer


class Cluster(BaseModel, extra="forbid"):
    """Say what to take of the cluster: how many restorers, and the CPUs and GPUs of each and of the ingress."""

    restorers: int = Field(1, ge=1)
    cpus: float = Field(1, ge=0)
    gpus: float = Field(0, ge=0, le=1)
    ingress_cpus: float = Field(1, ge=0)


@serve.deployment(logging_config={"enable_access_log": False})  # the service has a line of its own for a request
@serve.ingress()
class Ingress:
    """Be the service. There is one: two would not know of each other's queue."""

    async def __init__(self, settings: Settings, restorers: serve.handle.DeploymentHandle, batches: int) -> None:
        configure_logs(settings.log)
        facts = await restorers.describe.remote()  # of the first that is warm

        def load(_: Settings) -> dict[str, dict[str, RemoteRunner]]:
            names = [f"restorer:{number}" for number in range(batches)]
            return {name: {task: RemoteRunner(restorers, name, *facts[task]) for task in facts} for name in names}

        self._build = lambda: create_app(settings, load)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._build()

    async def check_health(self) -> None:
        """Have another ingress started when this one's engine has given up."""
        if self.app.state.service.engine.lost.is_set():
            raise RuntimeError("the restorers are lost")


def build(cluster: Cluster) -> serve.Application:
    """Build it with the DMSR_* variables found here, but for devices and port; raises SettingsError."""
    settings = Settings.from_environment()
    at_once = 2 if cluster.gpus else 1  # a GPU's next batch waits beside it; a CPU has nothing to gain from that
    device = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus}
    restorers = Restorer.options(
        num_replicas=cluster.restorers, max_ongoing_requests=at_once, ray_actor_options=device
    ).bind(settings.model_copy(update={"devices": "cuda" if cluster.gpus else "cpu"}))
    return Ingress.options(
        max_ongoing_requests=1000,  # admission bounds tiles and pixels, these two the callers
        max_queued_requests=1000,
        backpressure_config={"status_code": 429, "retry_after_s": 5},
        graceful_shutdown_timeout_s=settings.server.drain_seconds,
        ray_actor_options={"num_cpus": cluster.ingress_cpus},
    ).bind(settings, restorers, at_once * cluster.restorers)
