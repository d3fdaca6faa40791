"""Answers to assignment 08."""

RIGHT = {
    "08.1": {
        "second moment minus the mean's": """
def masked_moments(activations, weights):
    w = weights / weights.sum((2, 3), keepdim=True)
    mean = torch.einsum("nchw,nihw->nc", activations, w)
    second = torch.einsum("nchw,ndhw,nihw->ncd", activations, activations, w)
    return mean, second - mean[:, :, None] * mean[:, None]
""",
        "picture by picture, roots of weights": """
def masked_moments(activations, weights):
    means, spreads = [], []
    for a, w in zip(activations.flatten(2), weights.flatten(1)):
        w = w / w.sum()
        means.append((a * w).sum(1))
        b = (a - means[-1][:, None]) * w.sqrt()
        spreads.append(b @ b.T)
    return torch.stack(means), torch.stack(spreads)
""",
    },
    "08.2": {
        "the other way round": """
def recolour(pictures, painting):
    def root(m):
        v, u = torch.linalg.eigh(m)
        return u @ torch.diag_embed(v.clamp(min=0).sqrt()) @ u.mT

    t = torch.cov(painting[0].flatten(1), correction=0)
    done = []
    for x in pictures:
        s = torch.cov(x.flatten(1), correction=0)
        r = root(t)
        a = r @ torch.linalg.inv(root(r @ s @ r)) @ r
        y = a @ (x.flatten(1) - x.mean((1, 2))[:, None]) + painting.mean((0, 2, 3))[:, None]
        done.append(y.view_as(x))
    return torch.stack(done)
""",
        "scipy's roots": """
def recolour(pictures, painting):
    import numpy as np
    from scipy.linalg import sqrtm
    target, like = np.cov(painting[0].flatten(1), bias=True), painting[0].flatten(1).mean(1)
    done = []
    for x in pictures:
        p = x.flatten(1).numpy()
        s = sqrtm(np.cov(p, bias=True)).real
        i = np.linalg.inv(s)
        a = i @ sqrtm(s @ target @ s).real @ i
        done.append(torch.tensor(a @ (p - p.mean(1, keepdims=True))) + like[:, None])
    return torch.stack(done).view_as(pictures)
""",
    },
    "08.3": {
        "permute": """
def moments(activations):
    x = activations.permute(0, 2, 3, 1).flatten(1, 2)
    mean = x.mean(1)
    return mean, torch.einsum("npc,npd->ncd", x - mean[:, None], x - mean[:, None]) / x.shape[1]
""",
        "torch.cov": """
def moments(activations):
    x = activations.flatten(2)
    return x.mean(-1), torch.stack([torch.cov(a, correction=0) for a in x])
""",
    },
    "08.4": {
        "by hand": """
pictures, objects = scenes_of(cu.student_seed(student))
mine, object_of_mine = pictures[:1], objects[:1]
f = look(mine)[4][0].flatten(1)
inside = F.interpolate(object_of_mine, look(mine)[4].shape[-2:], mode="area")
parts = []
for w in (inside.flatten(), 1 - inside.flatten()):
    g = (f * w) @ f.T / w.sum()
    m = f @ w / w.sum()
    parts.append((m, g - torch.outer(m, m), g))
share = (parts[0][0] @ parts[0][0]) ** 2 / parts[0][2].norm() ** 2
e = [torch.dist(a, b) ** 2 / b.norm() ** 2 for a, b in zip(parts[0][:2], parts[1][:2])]
apart = (e[0] + e[1]) / 2
""",
        "torch.cov with weights": """
pictures, objects = scenes_of(cu.student_seed(student))
mine, object_of_mine = pictures[:1], objects[:1]
a = look(mine)[4].double().squeeze(0)
inside = F.interpolate(object_of_mine, a.shape[-2:], mode="area")
w = inside.double().flatten()
m, n = (a.flatten(1) * w).sum(1) / w.sum(), (a.flatten(1) * (1 - w)).sum(1) / (1 - w).sum()
c, d = (torch.cov(a.flatten(1), aweights=v, correction=0) for v in (w, 1 - w))
share = float(m.norm() ** 4 / (c + m.outer(m)).square().sum())
apart = float(((m - n) ** 2).sum() / (n**2).sum() + ((c - d) ** 2).sum() / (d**2).sum()) * 0.5
""",
    },
}

_MINE = """
pictures, objects = scenes_of(cu.student_seed(student))
mine, object_of_mine = pictures[:1], objects[:1]
inside = F.interpolate(object_of_mine, look(mine)[4].shape[-2:], mode="area")
mean, spread = masked_moments(look(mine)[4], inside)
around, around_spread = masked_moments(look(mine)[4], 1 - inside)
outer = mean[..., None] * mean[:, None]
share = (outer.square().sum() / (spread + outer).square().sum()).item()


def relative(a, b):
    return ((a - b).square().sum() / b.square().sum()).item()


apart = (relative(mean, around) + relative(spread, around_spread)) / 2
"""

_ROOTS = """
def root(m, e=0.5):
    v, u = torch.linalg.eigh(m)
    return (u * v[..., None, :] ** e) @ u.mT


def spread(x):
    p = x.flatten(2)
    p = p - p.mean(2, keepdim=True)
    return p @ p.mT / p.shape[2]


def apply(a, x, y):
    return (a @ (x.flatten(2) - x.mean((2, 3))[..., None]) + y.mean((2, 3))[..., None]).view_as(x)
"""

WRONG = {
    "08.1": {
        "masked activations, all places": """
def masked_moments(activations, weights):
    x = (activations * weights).flatten(2)
    mean = x.mean(2)
    c = x - mean[..., None]
    return mean, c @ c.mT / x.shape[2]
""",
        "divided by all places": """
def masked_moments(activations, weights):
    x, w = activations.flatten(2), weights.flatten(2)
    mean = (x * w).mean(2)
    c = x - mean[..., None]
    return mean, (c * w) @ c.mT / x.shape[2]
""",
        "weights squared": """
def masked_moments(activations, weights):
    x, w = activations.flatten(2), weights.flatten(2)
    mean = (x * w).sum(2) / w.sum(2)
    c = (x - mean[..., None]) * w
    return mean, c @ c.mT / w.sum(2)[..., None]
""",
        "a weighted mean, a plain covariance": """
def masked_moments(activations, weights):
    x, w = activations.flatten(2), weights.flatten(2)
    mean = (x * w).sum(2) / w.sum(2)
    c = x - mean[..., None]
    return mean, c @ c.mT / x.shape[2]
""",
        "one sum for all pictures": """
def masked_moments(activations, weights):
    x, w = activations.flatten(2), weights.flatten(2)
    w = w / w.sum() * len(w)
    mean = (x * w).sum(2)
    c = x - mean[..., None]
    return mean, (c * w) @ c.mT
""",
        "not centred": """
def masked_moments(activations, weights):
    x, w = activations.flatten(2), weights.flatten(2)
    w = w / w.sum(2, keepdim=True)
    return (x * w).sum(2), (x * w) @ x.mT
""",
        "one less": """
def masked_moments(activations, weights):
    x, w = activations.flatten(2), weights.flatten(2)
    mean = (x * w).sum(2) / w.sum(2)
    c = x - mean[..., None]
    return mean, (c * w) @ c.mT / (w.sum(2)[..., None] - 1)
""",
        "only the mean": """
def masked_moments(activations, weights):
    return (activations * weights).sum((2, 3)) / weights.sum((2, 3))
""",
    },
    "08.2": {
        "Cholesky factors": _ROOTS
        + """
def recolour(pictures, painting):
    a = torch.linalg.cholesky(spread(painting)) @ torch.linalg.inv(torch.linalg.cholesky(spread(pictures)))
    return apply(a, pictures, painting)
""",
        "two roots": _ROOTS
        + """
def recolour(pictures, painting):
    return apply(root(spread(painting)) @ root(spread(pictures), -0.5), pictures, painting)
""",
        "each channel by itself": """
def recolour(pictures, painting):
    m, s = pictures.mean((2, 3), keepdim=True), pictures.std((2, 3), correction=0, keepdim=True)
    n, t = painting.mean((2, 3), keepdim=True), painting.std((2, 3), correction=0, keepdim=True)
    return (pictures - m) / s * t + n
""",
        "only the mean": """
def recolour(pictures, painting):
    return pictures - pictures.mean((2, 3), keepdim=True) + painting.mean((2, 3), keepdim=True)
""",
        "clipped": _ROOTS
        + """
def recolour(pictures, painting):
    s, t = spread(pictures), spread(painting)
    a = root(s, -0.5) @ root(root(s) @ t @ root(s)) @ root(s, -0.5)
    return apply(a, pictures, painting).clamp(0, 1)
""",
        "roots entry by entry": _ROOTS
        + """
def recolour(pictures, painting):
    s, t = spread(pictures), spread(painting)
    a = s.abs().sqrt().inverse() @ (s.sqrt() @ t @ s.sqrt()).abs().sqrt() @ s.abs().sqrt().inverse()
    return apply(a.nan_to_num(), pictures, painting)
""",
        "the mean is kept": _ROOTS
        + """
def recolour(pictures, painting):
    s, t = spread(pictures), spread(painting)
    a = root(s, -0.5) @ root(root(s) @ t @ root(s)) @ root(s, -0.5)
    return apply(a, pictures, pictures)
""",
        "no root in the middle": _ROOTS
        + """
def recolour(pictures, painting):
    s, t = spread(pictures), spread(painting)
    return apply(root(s, -0.5) @ root(s) @ t @ root(s) @ root(s, -0.5), pictures, painting)
""",
    },
    "08.3": {
        "the bug": """
def moments(activations):
    n, channels, height, width = activations.shape
    places = activations.reshape(n, height * width, channels)
    mean = places.mean(dim=1)
    centred = places - mean[:, None]
    return mean, centred.mT @ centred / (height * width)
""",
        "the mean alone is mended": """
def moments(activations):
    n, channels, height, width = activations.shape
    places = activations.reshape(n, height * width, channels)
    centred = places - places.mean(dim=1)[:, None]
    return activations.mean((2, 3)), centred.mT @ centred / (height * width)
""",
        "not centred": """
def moments(activations):
    x = activations.flatten(2)
    return x.mean(2), x @ x.mT / x.shape[2]
""",
        "divided by the channels": """
def moments(activations):
    x = activations.flatten(2)
    c = x - x.mean(2, keepdim=True)
    return x.mean(2), c @ c.mT / x.shape[1]
""",
        "one less": """
def moments(activations):
    x = activations.flatten(2)
    c = x - x.mean(2, keepdim=True)
    return x.mean(2), c @ c.mT / (x.shape[2] - 1)
""",
        "a mean over channels": """
def moments(activations):
    x = activations.flatten(2)
    c = x - x.mean(1, keepdim=True)
    return x.mean(2), c @ c.mT / x.shape[2]
""",
        "rows and columns swapped": """
def moments(activations):
    n, c, h, w = activations.shape
    x = activations.transpose(2, 3).reshape(n, h * w, c)
    m = x.mean(1)
    return m, (x - m[:, None]).mT @ (x - m[:, None]) / (h * w)
""",
    },
    "08.4": {
        "of the ground": _MINE
        + "outer = around[..., None] * around[:, None]\n"
        + "share = float(outer.square().sum() / (around_spread + outer).square().sum())\n",
        "lengths, not squared": _MINE + "share = float(outer.norm() / (spread + outer).norm())\n",
        "of the covariance": _MINE
        + "share = float(outer.square().sum() / spread.square().sum())\n",
        "relative to the object": _MINE
        + "apart = (relative(around, mean) + relative(around_spread, spread)) / 2\n",
        "the sum of both": _MINE + "apart = 2 * apart\n",
        "the whole picture": _MINE
        + "m, c = masked_moments(look(mine)[4], torch.ones_like(inside))\n"
        "o = m[..., None] * m[:, None]\nshare = float(o.square().sum() / (c + o).square().sum())\n",
        "of another student": _MINE.replace("cu.student_seed(student)", "12345"),
    },
}

CHEATS: dict[str, dict[str, str]] = {}
