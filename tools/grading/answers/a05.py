"""Answers to assignment 05."""

RIGHT = {
    "05.1": {
        "hooks on the outputs": """
def guided_backprop(model, images, targets):
    def keep_positive(module, inputs, output):
        output.register_hook(lambda g: g.clamp(min=0))
    handles = [m.register_forward_hook(keep_positive)
               for m in model.modules() if isinstance(m, (nn.ReLU, nn.ReLU6))]
    try:
        return gradient(model, images, targets)
    finally:
        for handle in handles:
            handle.remove()
""",
        "a function of its own": """
class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return torch.where((z > 0) & (g > 0), g, 0.0)


class Layer(nn.Module):
    def forward(self, z):
        return Guided.apply(z)


def guided_backprop(model, images, targets):
    other = copy.deepcopy(model)
    for name, m in list(other.named_children()):
        if type(m) in (nn.ReLU, nn.ReLU6):
            setattr(other, name, Layer())
    x = images.clone().requires_grad_(True)
    other(x)[torch.arange(len(x)), targets].sum().backward()
    return x.grad
""",
    },
    "05.2": {
        "pixels counted one by one": """
def ranks(maps):
    maps = maps.flatten(1)
    below = (maps[:, :, None] > maps[:, None, :]).sum(dim=2)
    equal = (maps[:, :, None] == maps[:, None, :]).sum(dim=2) - 1
    return below + equal / 2


def rank_correlation(first, second):
    found = []
    for a, b in zip(ranks(first), ranks(second)):
        blank = a.max() == a.min() or b.max() == b.min()
        found.append(torch.tensor(0.0) if blank else torch.corrcoef(torch.stack([a, b]))[0, 1])
    return torch.stack(found)
""",
        "counts of unique values": """
def rank_of(one_map):
    _, place, counts = one_map.flatten().unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2)[place].double()


def rank_correlation(first, second):
    a, b = (torch.stack([rank_of(m) for m in maps]) for maps in (first, second))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    r = (a * b).mean(1) / (a.std(1, correction=0) * b.std(1, correction=0))
    return torch.nan_to_num(r)
""",
    },
    "05.3": {
        "a new network": """
def redraw(model, names, seed):
    broken = cu.tutorial_cnn()
    broken.load_state_dict(model.state_dict())
    broken.requires_grad_(False).eval()
    torch.manual_seed(seed)
    for name in names:
        broken.get_submodule(name).reset_parameters()
    return broken
""",
        "put back afterwards": """
def redraw(model, names, seed):
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(seed)
    for name in names:
        model.get_submodule(name).reset_parameters()
    broken = copy.deepcopy(model)
    model.load_state_dict(kept)
    return broken
""",
    },
    "05.4": {
        "one by one": """
seed = cu.student_seed(student)
mine = pictures_of(seed)
torn = redraw(model, ["fc3", "fc2", "fc1"], seed)
a, b = [], []
for picture in mine.split(1):
    t = model(picture).argmax(1)
    a.append(guided_backprop(model, picture, t)[0].sum(0))
    b.append(guided_backprop(torn, picture, t)[0].sum(0))
kept = sum(float(rank_correlation(p[None], q[None])) for p, q in zip(a, b)) / 4
floor = sum(float(rank_correlation(a[i][None], a[i - 1][None])) for i in range(4)) / 4
""",
        "the course's measures": """
seed = cu.student_seed(student)
mine = pictures_of(seed)
t = model(mine).argmax(1)
maps = [guided_backprop(m, mine, t) for m in (model, redraw(model, down[:3], seed))]
kept = evaluation.spearman_similarity(*maps).mean()
floor = evaluation.spearman_similarity(maps[0], torch.cat([maps[0][-1:], maps[0][:-1]])).mean()
""",
    },
}

_MINE = """
seed = cu.student_seed(student)
mine = pictures_of(seed)
t = model(mine).argmax(1)
torn = redraw(model, ["fc3", "fc2", "fc1"], seed)
a, b = (guided_backprop(m, mine, t).sum(1) for m in (model, torn))
"""

WRONG = {
    "05.1": {
        "clamped at the end": """
def guided_backprop(model, images, targets):
    return gradient(model, images, targets).clamp(min=0)
""",
        "only nn.ReLU": """
def guided_backprop(model, images, targets):
    model = copy.deepcopy(model)
    for m in model.modules():
        if isinstance(m, nn.ReLU):
            m.inplace = False
            m.register_full_backward_hook(lambda m, i, o: (i[0].clamp(min=0),))
    return gradient(model, images, targets)
""",
        "deconvolution": """
def guided_backprop(model, images, targets):
    model = copy.deepcopy(model)
    for m in model.modules():
        if isinstance(m, (nn.ReLU, nn.ReLU6)):
            m.inplace = False
            m.register_full_backward_hook(lambda m, i, o: (o[0].clamp(min=0),))
    return gradient(model, images, targets)
""",
        "hooks left on the network": """
def guided_backprop(model, images, targets):
    for m in model.modules():
        if isinstance(m, (nn.ReLU, nn.ReLU6)):
            m.inplace = False
            m.register_full_backward_hook(lambda m, i, o: (i[0].clamp(min=0),))
    return gradient(model, images, targets)
""",
        "in place forgotten": """
def guided_backprop(model, images, targets):
    model = copy.deepcopy(model)
    for m in model.modules():
        if isinstance(m, (nn.ReLU, nn.ReLU6)):
            m.register_full_backward_hook(lambda m, i, o: (i[0].clamp(min=0),))
    return gradient(model, images, targets)
""",
        "of the largest logit": """
def guided_backprop(model, images, targets):
    model = copy.deepcopy(model)
    for m in model.modules():
        if isinstance(m, (nn.ReLU, nn.ReLU6)):
            m.inplace = False
            m.register_full_backward_hook(lambda m, i, o: (i[0].clamp(min=0),))
    return gradient(model, images, model(images).argmax(1))
""",
        "magnitudes": """
def guided_backprop(model, images, targets):
    model = copy.deepcopy(model)
    for m in model.modules():
        if isinstance(m, (nn.ReLU, nn.ReLU6)):
            m.inplace = False
            m.register_full_backward_hook(lambda m, i, o: (i[0].abs(),))
    return gradient(model, images, targets)
""",
    },
    "05.2": {
        "of values": """
def rank_correlation(first, second):
    a, b = ((m.flatten(1) - m.flatten(1).mean(1, keepdim=True)) for m in (first, second))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-9)
""",
        "sorted once": """
def rank_correlation(first, second):
    a, b = (m.flatten(1).argsort(1).float() for m in (first, second))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
""",
        "magnitudes": """
def rank_correlation(first, second):
    a, b = (m.abs().flatten(1).argsort(1).argsort(1).float() for m in (first, second))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
""",
        "equal pixels in any order": """
def rank_correlation(first, second):
    flat = [m.flatten(1) for m in (first, second)]
    a, b = (m.argsort(dim=1, stable=True).argsort(1).float() for m in flat)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    r = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return torch.where((flat[0].std(1) > 0) & (flat[1].std(1) > 0), r, 0.0)
""",
        "one number for all": """
def rank_correlation(first, second):
    a, b = (m.flatten().argsort().argsort().float() for m in (first, second))
    return torch.corrcoef(torch.stack([a, b]))[0, 1]
""",
        "blank maps give NaN": """
def rank_correlation(first, second):
    import scipy.stats
    return torch.tensor([scipy.stats.spearmanr(a.flatten(), b.flatten()).statistic
                         for a, b in zip(first, second)])
""",
    },
    "05.3": {
        "the bug": """
def redraw(model, names, seed):
    broken = copy.copy(model)
    torch.manual_seed(seed)
    for name in names:
        broken.get_submodule(name).reset_parameters()
    return broken
""",
        "copied too late": """
def redraw(model, names, seed):
    torch.manual_seed(seed)
    for name in names:
        model.get_submodule(name).reset_parameters()
    return copy.deepcopy(model)
""",
        "redraws a copy of the layer": """
def redraw(model, names, seed):
    broken = copy.deepcopy(model)
    torch.manual_seed(seed)
    for name in names:
        copy.deepcopy(broken.get_submodule(name)).reset_parameters()
    return broken
""",
        "all layers": """
def redraw(model, names, seed):
    broken = copy.deepcopy(model)
    torch.manual_seed(seed)
    for layer in broken:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return broken
""",
        "weights of nothing": """
def redraw(model, names, seed):
    broken = copy.deepcopy(model)
    for name in names:
        for weight in broken.get_submodule(name).parameters():
            weight.zero_()
    return broken
""",
        "no seed": """
def redraw(model, names, seed):
    broken = copy.deepcopy(model)
    torch.seed()
    for name in names:
        broken.get_submodule(name).reset_parameters()
    return broken
""",
        "the order turned round": """
def redraw(model, names, seed):
    broken = copy.deepcopy(model)
    torch.manual_seed(seed)
    for name in reversed(names):
        broken.get_submodule(name).reset_parameters()
    return broken
""",
    },
    "05.4": {
        "magnitudes": _MINE
        + """
kept = float(rank_correlation(a.abs(), b.abs()).mean())
floor = float(rank_correlation(a.abs(), a.abs().roll(1, dims=0)).mean())
""",
        "another class for the random network": _MINE
        + """
b = guided_backprop(torn, mine, torn(mine).argmax(1)).sum(1)
kept = float(rank_correlation(a, b).mean())
floor = float(rank_correlation(a, a.roll(1, dims=0)).mean())
""",
        "one layer": _MINE
        + """
b = guided_backprop(redraw(model, ["fc3"], seed), mine, t).sum(1)
kept = float(rank_correlation(a, b).mean())
floor = float(rank_correlation(a, a.roll(1, dims=0)).mean())
""",
        "seed 0": _MINE
        + """
b = guided_backprop(redraw(model, ["fc3", "fc2", "fc1"], 0), mine, t).sum(1)
kept = float(rank_correlation(a, b).mean())
floor = float(rank_correlation(a, a.roll(1, dims=0)).mean())
""",
        "floor of unlike networks": _MINE
        + """
kept = float(rank_correlation(a, b).mean())
floor = float(rank_correlation(a, b.roll(1, dims=0)).mean())
""",
        "the gradient": _MINE
        + """
a, b = (gradient(m, mine, t).sum(1) for m in (model, torn))
kept = float(rank_correlation(a, b).mean())
floor = float(rank_correlation(a, a.roll(1, dims=0)).mean())
""",
        "somebody else's numbers": "kept, floor = 0.4321, 0.0123\n",
    },
}

#: The whole cell of a task; each may earn nothing for that task. A library's function is refused.
CHEATS = {
    "05.1": {
        "library: Captum": """
def guided_backprop(model, images, targets):
    model = copy.deepcopy(model)
    for name, m in model.named_children():
        if isinstance(m, nn.ReLU6 | nn.ReLU):
            setattr(model, name, nn.ReLU())
    return GuidedBackprop(model).attribute(images.clone().requires_grad_(), target=targets)
""",
    },
    "05.2": {
        "library: the course's": """
from course_utils.evaluation import spearman_similarity as theirs

def rank_correlation(first, second):
    return torch.nan_to_num(torch.as_tensor(theirs(first, second)))
""",
        "library: SciPy": """
import scipy.stats

def rank_correlation(first, second):
    pairs = zip(first.flatten(1), second.flatten(1))
    return torch.nan_to_num(torch.tensor([scipy.stats.spearmanr(a, b).statistic for a, b in pairs]))
""",
    },
}
