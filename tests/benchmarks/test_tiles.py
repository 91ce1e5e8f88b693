"""What takes the time is counted once."""

from types import SimpleNamespace

from torch.autograd import DeviceType

from benchmarks.tiles import shares


def event(key, on_device, device=0.0, cpu=0.0):
    kind = DeviceType.CUDA if on_device else DeviceType.CPU
    return SimpleNamespace(key=key, device_type=kind, self_device_time_total=device, self_cpu_time_total=cpu)


EVENTS = [
    event("aten::cudnn_convolution", False, device=30.0, cpu=2.0),  # the time of its kernel
    event("conv_kernel", True, device=30.0),
    event("aten::gelu", False, device=10.0, cpu=6.0),
    event("gelu_kernel", True, device=10.0),
]


def test_on_a_gpu_a_kernel_and_its_operator_are_one():
    assert shares(EVENTS, True, 15) == {"conv_kernel": 0.75, "gelu_kernel": 0.25}


def test_on_a_processor_operators_count():
    assert shares(EVENTS, False, 2) == {"aten::gelu": 0.75, "aten::cudnn_convolution": 0.25}
