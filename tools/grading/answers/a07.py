"""Answers to assignment 07."""

RIGHT = {
    "07.1": {
        "logaddexp": """
def shortfall(logits, targets, cap):
    e = logits[torch.arange(len(targets)), targets] - logits.mean(1)
    z = (cap - e) / 2
    return 2 * torch.logaddexp(z, torch.zeros_like(z))
""",
        "one by one, with log1p": """
def shortfall(logits, targets, cap):
    losses = []
    for row, t in zip(logits, targets):
        z = (cap - row[t] + row.sum() / row.numel()) / 2
        losses.append(2 * (z.relu() + torch.log1p(torch.exp(-z.abs()))))
    return torch.stack(losses)
""",
    },
    "07.2": {
        "F.normalize": """
def climb(score, start, steps, lr, jitter=0):
    g, x = torch.Generator().manual_seed(0), start
    for _ in range(steps):
        a, b = torch.randint(-jitter, jitter + 1, (2,), generator=g).tolist()
        seen = torch.roll(x, (a, b), dims=(-2, -1)).detach().requires_grad_()
        score(seen).sum().backward()
        step = F.normalize(seen.grad.flatten(1), dim=1).view_as(seen)
        x = torch.roll(seen.detach() + lr * step, (-a, -b), dims=(-2, -1)).clamp(0, 1)
    return x
""",
        "the score is shifted": """
def climb(score, start, steps, lr, jitter=0):
    g, x = torch.Generator().manual_seed(0), start.clone().requires_grad_()
    for _ in range(steps):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=g).tolist()
        (slope,) = torch.autograd.grad(score(x.roll(shift, (2, 3))).sum(), x)
        steps_ = torch.stack([s / (s**2).sum().sqrt() for s in slope])
        x = (x + lr * steps_).clamp(0, 1).detach().requires_grad_()
    return x.detach()
""",
    },
    "07.3": {
        "half of the waves": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    a = frequencies(n)[:, : n // 2 + 1].clamp(min=1 / n) ** (-2 * power)
    x = torch.fft.irfft2(torch.fft.rfft2(gradient) * a, s=(n, n))
    return F.normalize(x.flatten(1), dim=1).view_as(gradient)
""",
        "as a matrix for each picture": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    nu = torch.maximum(frequencies(n), torch.tensor(1 / n))
    a = (nu / nu.max()) ** -power
    kernel = torch.fft.ifft2(a * a)  # multiplying waves is a circular convolution
    step = torch.fft.ifft2(torch.fft.fft2(kernel) * torch.fft.fft2(gradient)).real
    return torch.stack([s / s.norm() for s in step])
""",
    },
    "07.4": {
        "normal equations": """
mine = pictures_of(cu.student_seed(student))
grey = mine.mean(dim=1) - mine.mean(dim=(1, 2, 3))[:, None, None]
hann = torch.hann_window(64, periodic=False)
size = torch.fft.fft2(grey * hann * hann[:, None]).abs().mean(dim=0)
rings = {f: size[(frequencies(64) / f - 1).abs() < 0.2].mean().item()
         for f in np.geomspace(0.05, 0.4, 8).tolist()}
u, v = (np.log10(list(k)) for k in (rings.keys(), rings.values()))
power = -np.cov(u, v)[0, 1] / np.var(u, ddof=1)
p = torch.fft.fft2(grey.double(), norm="ortho").abs() ** 2
p[:, 0, 0] = 0
fine = p[:, frequencies(64) > 0.125].sum() / p.sum()
""",
        "numpy, shares from the coarse ones": """
mine = pictures_of(cu.student_seed(student))
grey = mine.mean(dim=1) - mine.mean(dim=(1, 2, 3))[:, None, None]
hann = torch.hann_window(64, periodic=False)
size = torch.fft.fft2(grey * hann * hann[:, None]).abs().mean(dim=0)
nu = frequencies(64)
fs = np.geomspace(0.05, 0.4, 8)
amps = np.array([size[(nu / f - 1).abs() < 0.2].mean().item() for f in fs])
A = np.stack([np.log(fs), np.ones(8)], axis=1)
power = np.linalg.lstsq(A, -np.log(amps), rcond=None)[0][0]
s = np.abs(np.fft.fft2(grey.numpy())) ** 2
coarse = s[:, (nu.numpy() <= 1 / 8)].sum() - s[:, 0, 0].sum()
fine = 1 - coarse / (s.sum() - s[:, 0, 0].sum())
""",
    },
}

_MINE = """
mine = pictures_of(cu.student_seed(student))
grey = mine.mean(dim=1) - mine.mean(dim=(1, 2, 3))[:, None, None]
hann = torch.hann_window(64, periodic=False)
size = torch.fft.fft2(grey * hann * hann[:, None]).abs().mean(dim=0)
nu = frequencies(64)
rings = {f: size[(nu / f - 1).abs() < 0.2].mean().item() for f in np.geomspace(0.05, 0.4, 8).tolist()}
power = -np.polyfit(np.log(list(rings)), np.log(list(rings.values())), 1)[0]
p = torch.fft.fft2(grey).abs().square().sum(0)
fine = (p[nu > 1 / 8].sum() / p[nu > 0].sum()).item()
"""

WRONG = {
    "07.1": {
        "no mean": """
def shortfall(logits, targets, cap):
    return 2 * F.softplus((cap - logits.gather(1, targets[:, None])[:, 0]) / 2)
""",
        "exp and log": """
def shortfall(logits, targets, cap):
    e = logits.gather(1, targets[:, None])[:, 0] - logits.mean(1)
    return 2 * torch.log(1 + torch.exp((cap - e) / 2))
""",
        "other sign": """
def shortfall(logits, targets, cap):
    e = logits.gather(1, targets[:, None])[:, 0] - logits.mean(1)
    return 2 * F.softplus((e - cap) / 2)
""",
        "mean over the pictures": """
def shortfall(logits, targets, cap):
    e = logits.gather(1, targets[:, None])[:, 0] - logits.mean(0)[targets]
    return 2 * F.softplus((cap - e) / 2)
""",
        "a hard cap": """
def shortfall(logits, targets, cap):
    e = logits.gather(1, targets[:, None])[:, 0] - logits.mean(1)
    return (cap - e).relu()
""",
        "one number": """
def shortfall(logits, targets, cap):
    e = logits.gather(1, targets[:, None])[:, 0] - logits.mean(1)
    return (2 * F.softplus((cap - e) / 2)).sum()
""",
        "the mean counts as a constant": """
def shortfall(logits, targets, cap):
    e = logits.gather(1, targets[:, None])[:, 0] - logits.mean(1).detach()
    return 2 * F.softplus((cap - e) / 2)
""",
        "the probability": """
def shortfall(logits, targets, cap):
    return -logits.log_softmax(1).gather(1, targets[:, None])[:, 0]
""",
    },
    "07.2": {
        "the bug": """
def climb(score, start, steps, lr, jitter=0):
    generator, pictures = torch.Generator().manual_seed(0), start.clone()
    for _ in range(steps):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        moved = pictures.roll(shift, (2, 3)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        moved = moved.detach() + lr * gradient / gradient.norm()
        pictures = moved.roll([-s for s in shift], (2, 3)).clamp(0, 1)
    return pictures
""",
        "a length for each pixel": """
def climb(score, start, steps, lr, jitter=0):
    generator, pictures = torch.Generator().manual_seed(0), start.clone()
    for _ in range(steps):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        moved = pictures.roll(shift, (2, 3)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        moved = moved.detach() + lr * gradient / gradient.norm(dim=1, keepdim=True)
        pictures = moved.roll([-s for s in shift], (2, 3)).clamp(0, 1)
    return pictures
""",
        "the mean of the batch": """
def climb(score, start, steps, lr, jitter=0):
    generator, pictures = torch.Generator().manual_seed(0), start.clone()
    for _ in range(steps):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        moved = pictures.roll(shift, (2, 3)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        moved = moved.detach() + lr * gradient / gradient.flatten(1).norm(dim=1).mean()
        pictures = moved.roll([-s for s in shift], (2, 3)).clamp(0, 1)
    return pictures
""",
        "longer steps in a batch": """
def climb(score, start, steps, lr, jitter=0):
    generator, pictures = torch.Generator().manual_seed(0), start.clone()
    for _ in range(steps):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        moved = pictures.roll(shift, (2, 3)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        moved = moved.detach() + len(start) ** 0.5 * lr * gradient / gradient.norm()
        pictures = moved.roll([-s for s in shift], (2, 3)).clamp(0, 1)
    return pictures
""",
        "not divided at all": """
def climb(score, start, steps, lr, jitter=0):
    generator, pictures = torch.Generator().manual_seed(0), start.clone()
    for _ in range(steps):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        moved = pictures.roll(shift, (2, 3)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        pictures = (moved.detach() + lr * gradient).roll([-s for s in shift], (2, 3)).clamp(0, 1)
    return pictures
""",
        "the sign": """
def climb(score, start, steps, lr, jitter=0):
    generator, pictures = torch.Generator().manual_seed(0), start.clone()
    for _ in range(steps):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        moved = pictures.roll(shift, (2, 3)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        pictures = (moved.detach() + lr * gradient.sign()).roll([-s for s in shift], (2, 3)).clamp(0, 1)
    return pictures
""",
        "never shifted back": """
def climb(score, start, steps, lr, jitter=0):
    generator, pictures = torch.Generator().manual_seed(0), start.clone()
    for _ in range(steps):
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        moved = pictures.roll(shift, (2, 3)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        pictures = (moved.detach() + lr * gradient / length).clamp(0, 1)
    return pictures
""",
    },
    "07.3": {
        "a, not its square": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    a = frequencies(n).clamp(min=1 / n) ** -power
    x = torch.fft.ifft2(torch.fft.fft2(gradient) * a).real
    return x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
""",
        "one length for the batch": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    a = frequencies(n).clamp(min=1 / n) ** -power
    x = torch.fft.ifft2(torch.fft.fft2(gradient) * a**2).real
    return x / x.norm()
""",
        "frequency 0 as it is": """
def wave_step(gradient, power):
    a = frequencies(gradient.shape[-1]) ** -power
    x = torch.fft.ifft2(torch.fft.fft2(gradient) * a**2).real
    return x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
""",
        "frequency 0 left out": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    a = frequencies(n).clamp(min=1 / n) ** -power
    a[0, 0] = 0
    x = torch.fft.ifft2(torch.fft.fft2(gradient) * a**2).real
    return x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
""",
        "absolute values": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    a = frequencies(n).clamp(min=1 / n) ** -power
    x = torch.fft.ifft2(torch.fft.fft2(gradient) * a**2).abs()
    return x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
""",
        "only for even sizes": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    a = frequencies(n)[:, : n // 2 + 1].clamp(min=1 / n) ** -power
    x = torch.fft.irfft2(torch.fft.rfft2(gradient) * a**2)
    return x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
""",
        "short waves strong": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    a = frequencies(n).clamp(min=1 / n) ** power
    x = torch.fft.ifft2(torch.fft.fft2(gradient) * a**2).real
    return x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
""",
        "no length": """
def wave_step(gradient, power):
    n = gradient.shape[-1]
    a = frequencies(n).clamp(min=1 / n) ** -power
    return torch.fft.ifft2(torch.fft.fft2(gradient) * a**2).real
""",
    },
    "07.4": {
        "the slope itself": _MINE + "power = -power\n",
        "no logarithms": _MINE + "power = -np.polyfit(list(rings), list(rings.values()), 1)[0]\n",
        "amplitudes for power": _MINE + "q = torch.fft.fft2(grey).abs().sum(0)\n"
        "fine = float(q[nu > 1 / 8].sum() / q[nu > 0].sum())\n",
        "a mean of shares": _MINE + "q = torch.fft.fft2(grey).abs().square()\n"
        "fine = float((q[:, nu > 1 / 8].sum(1) / q[:, nu > 0].sum(1)).mean())\n",
        "the coarse waves": _MINE + "fine = 1 - fine\n",
        "in per cent": _MINE + "fine = 100 * fine\n",
        "of another student": _MINE.replace("cu.student_seed(student)", "12345"),
    },
}

CHEATS: dict[str, dict[str, str]] = {}
