"""Train many probes of one shape as stacked tensors: their forward pass, gradients and Adam steps.

Letters in shapes: M members, H hidden units, D embedding size, K classes, n clips of a batch. Activations are
features first, ``(M, H, n)``, so that a hidden unit's batch statistics are contiguous and the first layer of
all members is one product of ``(M * H, D)`` and ``(D, n)``.

Equal in exact arithmetic to `axlstm.evaluate.probes.exact.build_probe` trained with torch's Adam (tested),
with two rewritings. Embeddings are centred on their training mean: batch normalisation takes the mean out
again, so training is the same, and a large common offset costs no precision in bfloat16; the running mean,
which sees the offset, is followed in float32 (a mean of zeros says that there is nothing to take out). And
the bias in front of a batch normalisation keeps its first value: its gradient is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from axlstm.evaluate.probes.exact import build_probe, exact_stream
from axlstm.evaluate.probes.protocol import ProbeConfig

_EPS, _MOMENTUM = 1e-5, 0.1  # batch normalisation, torch's defaults
_BFLOAT16_ONE = np.uint16(0x3F80)


@dataclass
class _Hidden:
    """The values of a hidden layer that its gradients need."""

    inputs: Tensor  # (n, D) for the first layer, (M, d, n) for later ones
    linear: Tensor  # (1, M * H, n), before normalisation
    output: Tensor  # (M, H, n)
    mean: Tensor  # (M * H,)
    inverse_deviation: Tensor  # (M * H,)


class StackedProbe:
    """M probes that share their shape and their data, each with its own weights, dropout and learning rate."""

    def __init__(
        self,
        configs: Sequence[ProbeConfig],
        seeds: Sequence[int],
        mean: Tensor,
        classes: int,
        compute_dtype: torch.dtype,
    ) -> None:
        """Make fresh probes: one config and one seed a member; `mean` ``(D,)`` of the training embeddings."""
        self.layers = configs[0].hidden_layers
        self.mean = mean
        self.is_centred = bool(mean.any())
        # Without a hidden layer no normalisation takes the mean out again, and bfloat16 saves no time.
        self.dtype = compute_dtype if self.layers else torch.float32
        self.keep = [1.0 - config.dropout for config in configs]
        self.lr = [config.lr for config in configs]
        self.noise = [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]
        states = []
        for config, seed in zip(configs, seeds, strict=True):
            with exact_stream(seed):  # first weights as the exact twin draws them
                states.append(build_probe(config, len(mean), classes).state_dict())
        names = [name for name in states[0] if not name.endswith("num_batches_tracked")]
        self.state = {name: torch.stack([state[name] for state in states]).to(mean.device) for name in names}
        frozen = [f"{4 * layer}.bias" for layer in range(self.layers)]
        buffers = ("running_mean", "running_var")
        self.trained = [name for name in self.state if name not in frozen and not name.endswith(buffers)]
        self.moments = {name: tuple(torch.zeros_like(self.state[name]) for _ in range(2)) for name in self.trained}
        self.steps = torch.zeros((), device=mean.device)
        self._allocate()

    def __len__(self) -> int:
        return len(self.lr)

    def _allocate(self) -> None:
        """Make gradients and weights in the compute precision, for the members that are left."""
        self.gain = torch.tensor([1.0 / keep for keep in self.keep], device=self.mean.device)[:, None, None]
        self.gradient = {name: torch.zeros_like(self.state[name]) for name in self.trained}
        self.weights = [self.state[f"{4 * layer}.weight"].to(self.dtype, copy=True) for layer in range(self.layers + 1)]
        self._follow_offset()

    def keep_members(self, members: Sequence[int]) -> None:
        """Drop every member that is not listed."""
        index = torch.tensor(members, device=self.mean.device)
        self.state = {name: value[index] for name, value in self.state.items()}
        self.moments = {name: (m[index], v[index]) for name, (m, v) in self.moments.items()}
        self.keep, self.lr = ([values[i] for i in members] for values in (self.keep, self.lr))
        self.noise = [self.noise[i] for i in members]
        self._allocate()

    def member_state(self, member: int) -> dict[str, Tensor]:
        """Copy one member's weights, as the state of `build_probe`."""
        state = {name: value[member].clone() for name, value in self.state.items()}
        for layer in range(self.layers):
            state[f"{4 * layer + 1}.num_batches_tracked"] = self.steps.to("cpu", torch.int64).clone()
        return state

    def train_step(self, inputs: Tensor, target: Tensor, is_multiclass: bool) -> None:
        """Take one Adam step on a batch: inputs ``(n, D)`` from `prepare`, target ``(K, n)``."""
        kept, logits = self._forward(inputs)
        prediction = torch.softmax(logits, dim=1) if is_multiclass else torch.sigmoid(logits)  # (M, K, n)
        error = (prediction - target) / (target.shape[1] if is_multiclass else target.numel())
        self._backward(kept, inputs, error)
        self._adam()

    def prepare(self, embeddings: Tensor) -> Tensor:
        """Centre float32 embeddings ``(n, D)`` and cast them to the compute precision, as the members take them."""
        embeddings = embeddings.to(self.mean.device, non_blocking=True)
        if self.layers and self.is_centred:
            embeddings = embeddings - self.mean
        return embeddings.to(self.dtype)

    def predict(self, inputs: Tensor) -> Tensor:
        """Compute logits in evaluation mode, float32 ``(M, n, K)``: inputs ``(n, D)`` from `prepare`."""
        members, n = len(self), len(inputs)
        values = inputs.t().expand(members, -1, -1)  # (M, D, n)
        for layer in range(self.layers):
            product = torch.bmm(self.weights[layer], values) if layer else self._first_product(inputs)
            linear = product.view(members, -1, n).float()  # (M, H, n)
            running = self.state[f"{4 * layer + 1}.running_var"]  # (M, H)
            scale = self.state[f"{4 * layer + 1}.weight"] * torch.rsqrt(running + _EPS)
            shift = (self._constant(layer) - self.state[f"{4 * layer + 1}.running_mean"]) * scale
            shift += self.state[f"{4 * layer + 1}.bias"]
            values = torch.addcmul(shift[..., None], linear, scale[..., None]).relu_().to(self.dtype)
        last = 4 * self.layers
        # float32 to the end: rounded logits would tie, and ties change ranking scores.
        logits = torch.bmm(self.state[f"{last}.weight"], values.float())
        return (logits + self.state[f"{last}.bias"][..., None]).transpose(1, 2)

    def _first_product(self, inputs: Tensor) -> Tensor:
        return torch.mm(self.weights[0].flatten(0, 1), inputs.t())  # (M * H, n)

    def _constant(self, layer: int) -> Tensor:
        """Return what a hidden layer adds to every clip beside its product: bias and offset, ``(M, H)``."""
        return self.offset if layer == 0 else self.state[f"{4 * layer}.bias"]

    def _follow_offset(self) -> None:
        self.offset = self.state["0.bias"]
        if self.layers and self.is_centred:
            weight = self.state["0.weight"]  # (M, H, D)
            self.offset = (weight.flatten(0, 1) @ self.mean).view_as(self.state["0.bias"]) + self.state["0.bias"]

    def _forward(self, inputs: Tensor) -> tuple[list[_Hidden], Tensor]:
        members, n = len(self), len(inputs)
        kept: list[_Hidden] = []
        values = inputs
        for layer in range(self.layers):
            norm = 4 * layer + 1
            product = self._apply_gain(torch.bmm(self.weights[layer], values)) if layer else self._first_product(inputs)
            linear = product.view(1, -1, n)  # (1, M * H, n)
            scale, shift = self.state[f"{norm}.weight"].flatten(), self.state[f"{norm}.bias"].flatten()
            output, mean, inverse = torch.ops.aten.native_batch_norm(
                linear, scale, shift, None, None, True, _MOMENTUM, _EPS
            )
            running_mean, running_var = (self.state[f"{norm}.{name}"] for name in ("running_mean", "running_var"))
            running_mean.lerp_(mean.view_as(running_mean) + self._constant(layer), _MOMENTUM)  # (M, H)
            running_var.lerp_((inverse**-2 - _EPS).view_as(running_var) * (n / (n - 1)), _MOMENTUM)
            output = output.view(members, -1, n)
            self._drop(output)
            kept.append(_Hidden(values, linear, output.relu_(), mean, inverse))
            values = output  # (M, H, n)
        last = 4 * self.layers
        if self.layers:
            logits = torch.bmm(self.weights[-1], values).float() * self.gain  # (M, K, n)
        else:
            logits = self._first_product(inputs).view(members, -1, n)
        return kept, logits + self.state[f"{last}.bias"][..., None]

    def _apply_gain(self, values: Tensor) -> Tensor:
        """Apply dropout's factor 1 / (1 - p) of every member, in place, behind the product, where it is cheaper."""
        for member, keep in zip(values, self.keep, strict=True):
            member.mul_(1.0 / keep)
        return values

    def _drop(self, values: Tensor) -> None:
        """Zero a share p of the values ``(M, H, n)`` in place, each member by its own random numbers."""
        for member, (keep, noise) in enumerate(zip(self.keep, self.noise, strict=True)):
            if keep < 1.0:
                values[member].mul_(_dropout_mask(noise, keep, values[member]))

    def _backward(self, kept: list[_Hidden], inputs: Tensor, error: Tensor) -> None:
        """Compute gradients of all members into `self.gradient`, from the logits' error ``(M, K, n)``."""
        members, last = len(self), 4 * self.layers
        self.gradient[f"{last}.bias"].copy_(error.sum(dim=2))
        if not self.layers:
            self.gradient["0.weight"].copy_(torch.mm(error.flatten(0, 1), inputs).view_as(self.gradient["0.weight"]))
            return
        flow = (error * self.gain).to(self.dtype)  # (M, K, n)
        self.gradient[f"{last}.weight"].copy_(torch.bmm(flow, kept[-1].output.transpose(1, 2)))
        flow = torch.bmm(self.weights[-1].transpose(1, 2), flow)  # (M, H, n)
        for layer in reversed(range(self.layers)):
            hidden, norm = kept[layer], 4 * layer + 1
            # The output is positive exactly where neither the ReLU nor the dropout stopped it.
            flow = torch.ops.aten.threshold_backward(flow, hidden.output, 0.0)
            scale = self.state[f"{norm}.weight"].flatten()
            flow, d_scale, d_shift = torch.ops.aten.native_batch_norm_backward(
                flow.view_as(hidden.linear), hidden.linear, scale, None, None,
                hidden.mean, hidden.inverse_deviation, True, _EPS, [True, True, True],
            )  # fmt: skip
            self.gradient[f"{norm}.weight"].copy_(d_scale.view(members, -1))
            self.gradient[f"{norm}.bias"].copy_(d_shift.view(members, -1))
            weight_gradient = self.gradient[f"{4 * layer}.weight"]
            if layer == 0:
                weight_gradient.copy_(torch.mm(flow.flatten(0, 1), hidden.inputs).view_as(weight_gradient))
                return
            flow = self._apply_gain(flow.view(members, -1, flow.shape[2]))
            weight_gradient.copy_(torch.bmm(flow, hidden.inputs.transpose(1, 2)))
            flow = torch.bmm(self.weights[layer].transpose(1, 2), flow)

    def _adam(self) -> None:
        """Update every member's parameters in one fused pass for each learning rate."""
        first = 0
        for last in range(1, len(self) + 1):
            if last < len(self) and self.lr[last] == self.lr[first]:
                continue
            rows = slice(first, last)
            adam(
                [self.state[name][rows] for name in self.trained],
                [self.gradient[name][rows] for name in self.trained],
                [self.moments[name][0][rows] for name in self.trained],
                [self.moments[name][1][rows] for name in self.trained],
                [],
                [self.steps.clone() for _ in self.trained],
                fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=self.lr[first],
                weight_decay=0.0, eps=1e-8, maximize=False,
            )  # fmt: skip
            first = last
        self.steps += 1
        for layer, weight in enumerate(self.weights):
            weight.copy_(self.state[f"{4 * layer}.weight"])
        self._follow_offset()


def _dropout_mask(noise: np.random.Generator, keep: float, like: Tensor) -> Tensor:
    """Draw 1 with probability `keep`, else 0, in the shape and type of `like`. Probabilities go in steps of 2^-16."""
    if like.device.type != "cpu":
        seed = int(noise.integers(2**62))
        generator = torch.Generator(like.device).manual_seed(seed)
        return torch.empty_like(like).bernoulli_(keep, generator=generator)
    count = like.numel()
    words = noise.bit_generator.random_raw((count + 3) // 4)
    kept = words.view(np.uint16)[:count] < round(keep * 2**16)
    if like.dtype == torch.bfloat16:
        return torch.from_numpy(np.multiply(kept.view(np.uint8), _BFLOAT16_ONE)).view(torch.bfloat16).view_as(like)
    return torch.from_numpy(kept.astype(np.float32)).view_as(like)
