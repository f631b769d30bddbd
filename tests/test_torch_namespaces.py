# SPDX-License-Identifier: BSD-3-Clause
"""Names that scripts ask about the machine: torch.cuda, accelerator, backends, defaults, shapes."""

from __future__ import annotations

import contextlib
import copy
import importlib
import math
import pickle
import types
from typing import Any

import pytest

import fastnn
from fastnn import _backend, nn

HAS_GPU = _backend.cupy is not None
without_gpu = pytest.mark.skipif(HAS_GPU, reason="FASTNN_BACKEND=cuda")


# ---- cuda ----


@without_gpu
def test_without_a_gpu_scripts_choose_the_cpu() -> None:
    assert fastnn.cuda.is_available() is False
    assert fastnn.cuda.is_initialized() is False
    assert fastnn.cuda.device_count() == 0
    device = fastnn.device("cuda" if fastnn.cuda.is_available() else "cpu")
    assert fastnn.ones(2, device=device).device == device == fastnn.get_default_device()
    assert nn.Linear(2, 1).to(device).weight.device == device
    assert fastnn.accelerator.is_available() is False
    assert fastnn.accelerator.current_accelerator() is None
    assert fastnn.accelerator.current_accelerator(check_available=True) is None


@without_gpu
def test_without_a_gpu_what_forgets_or_counts_does_nothing() -> None:
    before = fastnn.get_rng_state()
    fastnn.cuda.manual_seed(3)
    fastnn.cuda.manual_seed_all(3)
    fastnn.cuda.seed()
    fastnn.cuda.seed_all()
    fastnn.cuda.empty_cache()
    fastnn.cuda.set_device(-1)
    fastnn.cuda.set_rng_state_all([])
    with fastnn.cuda.device(-1), fastnn.cuda.device(None):
        pass
    assert fastnn.equal(fastnn.get_rng_state(), before)
    assert fastnn.cuda.get_rng_state_all() == []
    assert fastnn.cuda.memory_allocated() == fastnn.cuda.memory_reserved("cuda:0") == 0
    with pytest.raises(TypeError, match="manual_seed: expected an int"):
        fastnn.cuda.manual_seed("a")


@without_gpu
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("current_device", ()),
        ("device", (0,)),
        ("get_device_capability", ()),
        ("get_device_name", (0,)),
        ("get_device_properties", ("cuda:0",)),
        ("get_rng_state", ()),
        ("init", ()),
        ("initial_seed", ()),
        ("mem_get_info", ()),
        ("set_device", (0,)),
        ("set_rng_state", (fastnn.get_rng_state(),)),
        ("synchronize", ()),
    ],
)
def test_without_a_gpu_the_rest_says_why_and_what_to_do(name: str, arguments: Any) -> None:
    cure = rf"cuda\.{name}: expected a GPU, got none: .+; .* start Python with FASTNN_BACKEND=cuda"
    with pytest.raises(RuntimeError, match=cure):
        getattr(fastnn.cuda, name)(*arguments)
    assert name in fastnn.cuda.__all__


@without_gpu
def test_moving_to_a_gpu_that_is_not_there() -> None:
    x, layer = fastnn.ones(2), nn.Linear(2, 1)
    for move in (
        x.cuda,
        layer.cuda,
        lambda: x.cuda("cuda:0", non_blocking=True),
        lambda: x.cuda(0),
    ):
        with pytest.raises(RuntimeError, match=r"expected a GPU, got none: .*FASTNN_BACKEND=cuda"):
            move()
    with pytest.raises(RuntimeError, match=r"cuda: expected a GPU, got 'cpu' as device; write"):
        layer.cuda("cpu")


class FakeCuPy:
    """CuPy and the CUDA module with two devices, as far as `fastnn.cuda` asks them."""

    def __init__(self) -> None:
        self.current, self.calls = 0, []
        self.cuda = types.SimpleNamespace(
            Device=self.device,
            runtime=types.SimpleNamespace(
                getDevice=lambda: self.current, memGetInfo=lambda: (10 + self.current, 100)
            ),
        )

    def device(self, index: int) -> Any:
        made = contextlib.ExitStack()
        before = self.current
        made.use = lambda: setattr(self, "current", index)
        made.synchronize = lambda: self.calls.append(("synchronize", index))

        class Device:
            use = staticmethod(made.use)
            synchronize = staticmethod(made.synchronize)

            def __enter__(_) -> None:
                self.current = index

            def __exit__(_, *error: object) -> None:
                self.current = before

        return Device()

    def get_default_memory_pool(self) -> Any:
        return types.SimpleNamespace(
            free_all_blocks=lambda: self.calls.append(("free", self.current)),
            used_bytes=lambda: 1 + self.current,
            total_bytes=lambda: 5 + self.current,
        )


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> FakeCuPy:
    fake = FakeCuPy()
    devices = [
        {"name": n, "compute_capability": c, "memory_bytes": 7, "multiprocessors": 3}
        for n, c in (("first", (9, 0)), ("second", (8, 6)))
    ]
    module = types.SimpleNamespace(device_count=lambda: 2, device_info=lambda: {"devices": devices})
    monkeypatch.setattr(_backend, "cupy", fake)
    monkeypatch.setattr(_backend, "cuda", module)
    return fake


def test_devices_are_asked_of_cupy_and_of_the_module(gpus: FakeCuPy) -> None:
    cuda = fastnn.cuda
    assert (cuda.is_available(), cuda.device_count(), cuda.current_device()) == (True, 2, 0)
    assert cuda.get_device_name() == cuda.get_device_name("cuda") == "first"
    assert cuda.get_device_name(fastnn.device("cuda:1")) == "second"
    assert cuda.get_device_capability(1) == (8, 6)
    about = cuda.get_device_properties(1)
    assert (about.major, about.total_memory, about.multi_processor_count) == (8, 7, 3)
    with cuda.device(1):
        assert cuda.current_device() == 1
        assert cuda.mem_get_info() == (11, 100)
        assert cuda.mem_get_info(0) == (10, 100)
    assert cuda.current_device() == 0
    assert (cuda.memory_allocated(1), cuda.memory_reserved(1)) == (2, 6)
    cuda.synchronize()
    cuda.synchronize(1)
    cuda.empty_cache()
    assert gpus.calls == [("synchronize", 0), ("synchronize", 1), ("free", 0)]
    assert fastnn.accelerator.current_accelerator() == fastnn.device("cuda")
    fastnn.accelerator.set_device_index(1)
    assert fastnn.accelerator.current_device_index() == cuda.current_device() == 1
    assert fastnn.accelerator.get_memory_info() == (11, 100)
    cuda.init()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ("cpu", ValueError, "expected a GPU, got device cpu; write 'cuda'"),
        (2, RuntimeError, "expected a number below 2, the number of GPUs, got 2; the first is 0"),
        (-1, RuntimeError, "got -1"),
        (True, TypeError, "expected a device, its number or None, got True"),
        (1.0, TypeError, "write 'cuda:0' or 0"),
        ("gpu", RuntimeError, "expected 'cpu', 'cuda' or 'cuda:N'"),
    ],
)
def test_devices_that_are_not_there(
    gpus: FakeCuPy, given: Any, error: type[Exception], text: str
) -> None:
    assert gpus.current == 0
    with pytest.raises(error, match=text):
        fastnn.cuda.get_device_name(given)


def test_with_a_gpu_the_default_generator_is_seeded(gpus: FakeCuPy) -> None:
    assert gpus.current == 0
    with fastnn.random.fork_rng():
        fastnn.cuda.manual_seed_all(-5)
        assert fastnn.cuda.initial_seed() == fastnn.initial_seed() == 2**64 - 5
        states = fastnn.cuda.get_rng_state_all()
        assert len(states) == 2
        drawn = fastnn.rand(3)
        fastnn.cuda.set_rng_state_all(states)
        assert fastnn.equal(fastnn.rand(3), drawn)
        fastnn.cuda.set_rng_state(states[0], "cuda:1")
        assert fastnn.equal(fastnn.cuda.get_rng_state(), states[0])
        fastnn.cuda.seed_all()
        assert fastnn.initial_seed() != 2**64 - 5


# ---- backends ----


def test_switches_of_other_libraries_are_kept_and_checked() -> None:
    cudnn = importlib.import_module("fastnn.backends.cudnn")
    assert fastnn.backends.cudnn is cudnn
    names = ("enabled", "benchmark", "deterministic", "allow_tf32", "benchmark_limit")
    before = {name: getattr(cudnn, name) for name in names}
    assert before == {**dict.fromkeys(names[::3], True), **dict.fromkeys(names[1:3], False),
                      "benchmark_limit": 10}  # fmt: skip
    with cudnn.flags(enabled=False, benchmark=True, deterministic=True, allow_tf32=False):
        assert cudnn.benchmark
        assert cudnn.deterministic
        assert not cudnn.enabled
        for name, wrong in (("benchmark", 1), ("enabled", None), ("benchmark_limit", "ten")):
            with pytest.raises(TypeError, match=rf"backends: expected {name} as .*, got"):
                setattr(cudnn, name, wrong)
    assert {name: getattr(cudnn, name) for name in names} == before
    with pytest.raises(TypeError, match="expected deterministic as bool, got 0"):
        fastnn.backends.mkldnn.deterministic = 0
    matmul = fastnn.backends.cuda.matmul
    assert matmul.allow_tf32 is False
    matmul.allow_tf32 = True
    assert "allow_tf32=True" in repr(matmul)
    with pytest.raises(TypeError, match="expected allow_tf32 as bool, got 'yes'"):
        matmul.allow_tf32 = "yes"
    matmul.allow_tf32 = False


def test_what_is_not_there_says_no() -> None:
    backends = fastnn.backends
    asked = [
        getattr(backends, name).is_available for name in ("cudnn", "mkl", "mkldnn", "mps", "openmp")
    ]
    assert [f() for f in (*asked, backends.mps.is_built)] == [False] * 6
    assert backends.cudnn.version() is None
    assert backends.cudnn.is_acceptable(fastnn.ones(1)) is False
    assert isinstance(backends.cuda.is_built(), bool)


def test_the_instruction_set_in_torchs_words(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fastnn.backends.cpu.get_cpu_capability
    for isa, word in (("x86_v2", "NO AVX"), ("x86_v4", "AVX512"), ("neon", "DEFAULT")):
        monkeypatch.setattr(_backend, "name", "cpu")
        monkeypatch.setattr(_backend, "cpu", types.SimpleNamespace(isa=lambda isa=isa: isa))
        assert asked() == word
    monkeypatch.setattr(_backend, "name", "numpy")
    assert asked() == "DEFAULT"


# ---- defaults ----


def test_precision_of_products_is_kept_and_changes_nothing() -> None:
    assert fastnn.get_float32_matmul_precision() == "highest"
    fastnn.set_float32_matmul_precision("high")
    assert fastnn.get_float32_matmul_precision() == "high"
    with pytest.raises(ValueError, match="expected 'highest', 'high' or 'medium', got 'low'"):
        fastnn.set_float32_matmul_precision("low")
    fastnn.set_float32_matmul_precision("highest")
    assert fastnn.is_deterministic_algorithms_warn_only_enabled() is False


@without_gpu
def test_the_place_where_tensors_are_made() -> None:
    fastnn.set_default_device("cpu")
    fastnn.set_default_device(None)
    fastnn.set_default_device(fastnn.device("cpu"))
    assert fastnn.get_default_device() == fastnn.device("cpu")
    with pytest.raises(RuntimeError, match=r"expected cpu, .* got cuda \(.*FASTNN_BACKEND=cuda"):
        fastnn.set_default_device("cuda")
    with pytest.raises(RuntimeError, match="expected 'cpu', 'cuda' or"):
        fastnn.set_default_device("tpu")


def test_the_default_type_by_its_older_name() -> None:
    try:
        fastnn.set_default_tensor_type("torch.DoubleTensor")
        assert fastnn.tensor(1.0).dtype is fastnn.float64
        fastnn.set_default_tensor_type(fastnn.HalfTensor)
        assert fastnn.get_default_dtype() is fastnn.float16
    finally:
        fastnn.set_default_tensor_type("fastnn.FloatTensor")
    assert fastnn.get_default_dtype() is fastnn.float32
    for wrong in (fastnn.LongTensor, "torch.LongTensor", "torch.cuda.FloatTensor", "float", None):
        with pytest.raises(TypeError, match="set_default_tensor_type: expected a floating-point"):
            fastnn.set_default_tensor_type(wrong)


# ---- shapes, constants, second names ----


def test_size() -> None:
    size = fastnn.Size([2, 3, 4])
    assert size == (2, 3, 4) == fastnn.ones(2, 3, 4).shape
    assert fastnn.ones(size).shape == size
    assert (size.numel(), fastnn.Size().numel(), len(size), size[-1]) == (24, 1, 3, 4)
    five, listed = (5,), [1]
    for part, text in (
        (size[1:], "fastnn.Size([3, 4])"),
        (size + five, "fastnn.Size([2, 3, 4, 5])"),
        (five + size[:1], "fastnn.Size([5, 2])"),
        (size[:1] * 2, "fastnn.Size([2, 2])"),
        (2 * size[:1], "fastnn.Size([2, 2])"),
        (fastnn.Size([fastnn.tensor(7)]), "fastnn.Size([7])"),
    ):
        assert isinstance(part, fastnn.Size)
        assert repr(part) == text
    assert copy.deepcopy(size) == size
    assert type(pickle.loads(pickle.dumps(size))) is fastnn.Size
    assert hash(size) == hash((2, 3, 4))
    for wrong, at in (([1.0], "float at position 0"), ([1, True], "bool at position 1"),
                      (["a"], "str at position 0")):  # fmt: skip
        with pytest.raises(TypeError, match=f"Size: expected ints, got {at}"):
            fastnn.Size(wrong)
    with pytest.raises(TypeError):
        size + listed


def test_constants() -> None:
    assert (fastnn.pi, fastnn.e, fastnn.inf) == (math.pi, math.e, math.inf)
    assert math.isnan(fastnn.nan)
    assert fastnn.ones(3)[:, fastnn.newaxis].shape == (3, 1)


def test_second_names() -> None:
    a, b = fastnn.tensor([[1.0, 2.0]]), fastnn.tensor([[3.0, 4.0]])
    for name, first in (("concat", "cat"), ("concatenate", "cat"), ("row_stack", "vstack")):
        assert fastnn.equal(getattr(fastnn, name)((a, b)), getattr(fastnn, first)((a, b)))
        assert f"`{first}`" in getattr(fastnn, name).__doc__
    assert fastnn.concat([a, b], dim=1).shape == (1, 4)
    assert a.swapdims(0, 1).shape == fastnn.swapdims(a, 0, 1).shape == (2, 1)
    x = fastnn.tensor([0.25, 2.0])
    for name, first in (("expit", "sigmoid"), ("gammaln", "lgamma"), ("psi", "digamma")):
        assert fastnn.equal(getattr(fastnn.special, name)(x), getattr(fastnn, first)(x))
    for name in fastnn.special.__all__:
        assert callable(getattr(fastnn.special, name)), name
    assert fastnn.special.softmax(x, 0).sum().item() == pytest.approx(1)


def test_what_tensors_of_real_numbers_on_the_cpu_say() -> None:
    x = fastnn.ones(2, 3)
    if not HAS_GPU:
        assert (x.is_cpu, x.is_cuda, x.get_device()) == (True, False, -1)
    assert [x.is_sparse, x.is_quantized, x.is_nested, x.is_meta] == [False] * 4
    assert [x.is_conj(), x.is_neg(), fastnn.is_conj(x), fastnn.is_neg(x)] == [False] * 4
    assert x.conj() is x.resolve_conj() is x.resolve_neg() is fastnn.conj(x) is x
    assert fastnn.is_same_size(x, fastnn.zeros(2, 3))
    assert not x.is_same_size(x[:1])
    assert fastnn.is_signed(x)
    assert not fastnn.is_signed(x.byte())
    assert x.sum_to_size(()).item() == 6  # of no dimensions: what a case of the table cannot say
    for turned in (x.H, x.mH, x.adjoint(), fastnn.adjoint(x)):
        assert turned.shape == (3, 2)
        assert turned.data_ptr() == x.data_ptr()
    assert fastnn.ones(4, 2, 3).mH.shape == (4, 3, 2)
    leaf = fastnn.ones(2, requires_grad=True)
    assert not fastnn.detach(leaf * 2).requires_grad
    assert fastnn.detach(leaf).data_ptr() == leaf.data_ptr()
    with pytest.raises(RuntimeError, match=r"adjoint: expected a matrix .*, got \(2,\); unsqueeze"):
        leaf.adjoint()
    with pytest.raises(RuntimeError, match="t: expected"):
        _ = fastnn.ones(1, 2, 3).H
    for name in ("conj", "detach", "is_conj", "is_neg", "is_signed", "resolve_neg", "adjoint"):
        with pytest.raises(TypeError, match=f"{name}: expected input as a Tensor"):
            getattr(fastnn, name)(1.0)
    with pytest.raises(TypeError, match="is_same_size: expected other as a Tensor"):
        x.is_same_size((2, 3))


def test_versions() -> None:
    assert fastnn.version.__version__ == fastnn.__version__
    assert (fastnn.version.cuda, fastnn.version.hip) == (None, None)
    with pytest.raises(AttributeError, match=r"'fastnn\.version' has no attribute 'rocm'"):
        _ = fastnn.version.rocm


def test_functions_that_torch_has_twice() -> None:
    F = nn.functional
    with fastnn.random.fork_rng():
        fastnn.manual_seed(3)
        x, w, b = fastnn.randn(2, 4, 6), fastnn.randn(6), fastnn.randn(6)
        c, d = fastnn.randn(4), fastnn.randn(4)
        for got, want in (
            (fastnn.layer_norm(x, (6,), w, b, 1e-3, False), F.layer_norm(x, (6,), w, b, 1e-3)),
            (fastnn.group_norm(x, 2, c, d, 1e-3, False), F.group_norm(x, 2, c, d, 1e-3)),
            (
                fastnn.batch_norm(x, c, d, d, c.exp(), False, 0.1, 1e-3, True),
                F.batch_norm(x, d, c.exp(), c, d, False, 0.1, 1e-3),
            ),
            (fastnn.max_pool1d(x, 2, 1), F.max_pool1d(x, 2, 1)),
            (fastnn.max_pool1d(x, 2), F.max_pool1d(x, 2)),
            (fastnn.max_pool2d(x, 2), F.max_pool2d(x, 2)),
            (fastnn.max_pool2d(x, 2, (), 1, 2, True), F.max_pool2d(x, 2, None, 1, 2, True)),
            (fastnn.adaptive_max_pool1d(x, 2)[1], F.adaptive_max_pool1d(x, 2, True)[1]),
            (x.hardshrink(0.3), F.hardshrink(x, 0.3)),
            (x.prelu(c), F.prelu(x, c)),
        ):
            assert fastnn.equal(got, want)
        table = fastnn.randn(5, 3, requires_grad=True)
        rows = fastnn.tensor([1, 4, 1])
        fastnn.embedding(table, rows, 4, True).sum().backward()
        assert table.grad is not None
        assert table.grad.sum(1).tolist() == [0.0, 3.0, 0.0, 0.0, 0.0]
        assert fastnn.equal(fastnn.embedding(table, rows), F.embedding(rows, table))
        state = fastnn.get_rng_state()
        for name in ("dropout", "alpha_dropout", "feature_alpha_dropout"):
            fastnn.set_rng_state(state)
            want = getattr(F, name)(x, 0.4, True)
            assert not fastnn.equal(want, x)
            fastnn.set_rng_state(state)
            assert fastnn.equal(getattr(fastnn, name)(x, 0.4, True), want)
            assert fastnn.equal(getattr(fastnn, name)(x, 0.4, False), x)
            fastnn.set_rng_state(state)
            y = x.clone()
            assert getattr(fastnn, f"{name}_")(y, 0.4, train=True) is y
            assert fastnn.equal(y, want)
    leaf = fastnn.ones(2, requires_grad=True)
    twice = leaf * 2
    assert fastnn.detach_(twice) is twice
    assert twice.is_leaf
    with pytest.raises(TypeError, match="detach_: expected input as a Tensor"):
        fastnn.detach_([1.0])
    for name in ("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "avg_pool1d",
                 "adaptive_avg_pool1d", "rms_norm", "hardshrink"):  # fmt: skip
        assert getattr(fastnn, name) is getattr(F, name)
