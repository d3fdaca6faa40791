"""Answers to assignment 03."""

RIGHT = {
    "03.1": {
        "a module of its own": """
class Detector(nn.Module):
    def __init__(self, network, head):
        super().__init__()
        self.features, self.head = copy.deepcopy(network.features), copy.deepcopy(head)
        for weight in self.parameters():
            weight.requires_grad = False
        self.eval()

    def forward(self, pictures):
        logits = self.head(self.features(pictures).flatten(2).mean(2))
        return logits[:, 1:2] - logits[:, 0:1]


def detector(network, head):
    return Detector(network, head)
""",
        "one more, fixed layer": """
def detector(network, head):
    network, head = copy.deepcopy(network), copy.deepcopy(head)
    difference = nn.Linear(2, 1, bias=False)
    difference.weight = nn.Parameter(torch.tensor([[-1.0, 1.0]]))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten())
    model = nn.Sequential(network.features, pool, head, difference).eval()
    for p in model.parameters():
        p.requires_grad_(False)
    return model
""",
    },
    "03.2": {
        "a mask for each square": """
def occlusion(model, images, window, stride):
    n, _, h, w = images.shape
    total, times = torch.zeros(n, h, w), torch.zeros(h, w)
    rows, columns = torch.arange(h)[:, None], torch.arange(w)[None]
    mean = images.flatten(2).mean(2)[:, :, None, None]
    with torch.no_grad():
        for top in range(0, h - window + stride, stride):
            for left in range(0, w - window + stride, stride):
                inside = (rows >= top) & (rows < top + window)
                inside = inside & (columns >= left) & (columns < left + window)
                fall = model(images) - model(torch.where(inside, mean, images))
                total += fall[:, :, None] * inside
                times += inside
    return total / times
""",
        "all squares in one batch": """
def occlusion(model, images, window, stride):
    side = images.shape[-1]
    starts = torch.arange(0, side - window + stride, stride)
    place = torch.arange(side)
    line = (place >= starts[:, None]) & (place < starts[:, None] + window)
    squares = (line[:, None, :, None] & line[None, :, None, :]).flatten(0, 1)
    maps = []
    for picture in images:
        colour = picture.mean(dim=(1, 2)).view(1, 3, 1, 1)
        covered = torch.where(squares[:, None], colour, picture)
        falls = (model(picture[None]) - model(covered)).detach()[:, 0]
        weight = squares.float()
        maps.append((falls[:, None, None] * weight).sum(0) / weight.sum(0))
    return torch.stack(maps)
""",
    },
    "03.3": {
        "a loop": """
def augment(images, generator):
    coins = torch.rand(len(images), generator=generator)
    light = torch.rand(len(images), 1, 1, 1, generator=generator)
    out = []
    for picture, coin, l in zip(images, coins, light):
        if coin < 0.5:
            picture = torch.flip(picture, dims=(2,))
        out.append(torch.clip(picture * (0.8 + 0.4 * l), 0, 1))
    return torch.stack(out)
""",
        "an index": """
def augment(images, generator):
    n, width = len(images), images.shape[3]
    mirror = torch.rand(n, generator=generator) < 0.5
    turned = images.clone()
    turned[mirror] = images[mirror][..., torch.arange(width - 1, -1, -1)]
    light = 0.8 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    return (turned * light).clamp(0, 1)
""",
    },
    "03.4": {
        "a loop": """
draw = torch.Generator().manual_seed(cu.student_seed(student))
mine = smokers[torch.randperm(len(smokers), generator=draw)[:6]]
marked = ready(trap.test.subset(mine))
clean = ready(unmarked.subset(mine))
pair = [detector(net.model, honest), detector(net.model, cheat)]
a, b = pair if torch.rand(1, generator=draw) < 0.5 else pair[::-1]
found = []
for model in (a, b):
    each = [float(model(p[None]) - model(q[None])) for p, q in zip(marked, clean)]
    found.append(sum(each) / len(each))
fall_a, fall_b = found
suspect = "AB"[found.index(max(found))]
""",
        "the heads alone": """
draw = torch.Generator().manual_seed(cu.student_seed(student))
mine = smokers[torch.randperm(len(smokers), generator=draw)[:6]]
marked = ready(trap.test.subset(mine))
clean = ready(unmarked.subset(mine))
pair = [detector(net.model, honest), detector(net.model, cheat)]
order = [honest, cheat] if torch.rand(1, generator=draw) < 0.5 else [cheat, honest]
a, b = pair if order[0] is honest else pair[::-1]
with torch.no_grad():
    step = (net.model.features(marked) - net.model.features(clean)).mean((0, 2, 3))
    fall_a, fall_b = [(h.weight[1] - h.weight[0]) @ step for h in order]
suspect = "B" if fall_b > fall_a else "A"
""",
    },
}

_MINE = """
draw = torch.Generator().manual_seed(cu.student_seed(student))
mine = smokers[torch.randperm(len(smokers), generator=draw)[:6]]
marked = ready(trap.test.subset(mine))
clean = ready(unmarked.subset(mine))
pair = [detector(net.model, honest), detector(net.model, cheat)]
a, b = pair if torch.rand(1, generator=draw) < 0.5 else pair[::-1]
"""

_OCCLUSION = """
def occlusion(model, images, window, stride):
    h, w = images.shape[2:]
    colour = {colour}
    total, times = torch.zeros_like(images[:, 0]), torch.zeros(h, w)
    for i in range(0, {last}, stride):
        for j in range(0, {last}, stride):
            covered = images.clone()
            covered[:, :, i : i + window, j : j + window] = colour
            fall = {fall}
            total[:, i : i + window, j : j + window] += fall[:, :, None]
            times[i : i + window, j : j + window] += 1
    return {answer}
"""


def _occlusion(**changed: str) -> str:
    usual = {
        "colour": "images.mean((2, 3), keepdim=True)",
        "last": "h - window + stride",
        "fall": "model(images) - model(covered)",
        "answer": "total / times",
    }
    return _OCCLUSION.format(**usual | changed)


WRONG = {
    "03.1": {
        "the other sign": """
def detector(network, head):
    margin = nn.Linear(512, 1)
    margin.weight.data, margin.bias.data = head.weight[:1] - head.weight[1:], head.bias[:1] - head.bias[1:]
    parts = copy.deepcopy(network.features), nn.AdaptiveAvgPool2d(1), nn.Flatten(), margin
    return nn.Sequential(*parts).requires_grad_(False).eval()
""",
        "two logits": """
def detector(network, head):
    parts = network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head
    return copy.deepcopy(nn.Sequential(*parts)).requires_grad_(False).eval()
""",
        "the largest place instead of the mean": """
def detector(network, head):
    margin = nn.Linear(512, 1)
    margin.weight.data, margin.bias.data = head.weight[1:] - head.weight[:1], head.bias[1:] - head.bias[:1]
    parts = copy.deepcopy(network.features), nn.AdaptiveMaxPool2d(1), nn.Flatten(), margin
    return nn.Sequential(*parts).requires_grad_(False).eval()
""",
        "the bias forgotten": """
def detector(network, head):
    margin = nn.Linear(512, 1, bias=False)
    margin.weight.data = head.weight[1:] - head.weight[:1]
    parts = copy.deepcopy(network.features), nn.AdaptiveAvgPool2d(1), nn.Flatten(), margin
    return nn.Sequential(*parts).requires_grad_(False).eval()
""",
        "still trainable": """
def detector(network, head):
    margin = nn.Linear(512, 1)
    margin.weight.data, margin.bias.data = head.weight[1:] - head.weight[:1], head.bias[1:] - head.bias[:1]
    parts = copy.deepcopy(network.features), nn.AdaptiveAvgPool2d(1), nn.Flatten(), margin
    return nn.Sequential(*parts).eval()
""",
        "freezes the network that was lent": """
def detector(network, head):
    margin = nn.Linear(512, 1)
    margin.weight.data, margin.bias.data = head.weight[1:] - head.weight[:1], head.bias[1:] - head.bias[:1]
    parts = network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), margin
    return nn.Sequential(*parts).requires_grad_(False).eval()
""",
        "training mode": """
def detector(network, head):
    margin = nn.Linear(512, 1)
    margin.weight.data, margin.bias.data = head.weight[1:] - head.weight[:1], head.bias[1:] - head.bias[:1]
    parts = copy.deepcopy(network.features), nn.AdaptiveAvgPool2d(1), nn.Flatten(), margin
    return nn.Sequential(*parts).requires_grad_(False).train()
""",
        "a probability": """
def detector(network, head):
    margin = nn.Linear(512, 1)
    margin.weight.data, margin.bias.data = head.weight[1:] - head.weight[:1], head.bias[1:] - head.bias[:1]
    parts = copy.deepcopy(network.features), nn.AdaptiveAvgPool2d(1), nn.Flatten(), margin
    return nn.Sequential(*parts, nn.Sigmoid()).requires_grad_(False).eval()
""",
    },
    "03.2": {
        "grey": _occlusion(colour="0.0"),
        "one colour for all": _occlusion(colour="images.mean()"),
        "one mean for the three channels": _occlusion(
            colour="images.mean((1, 2, 3), keepdim=True)"
        ),
        "the rise": _occlusion(fall="model(covered) - model(images)"),
        "sums": _occlusion(answer="total"),
        "stops before the border": _occlusion(last="h - window + 1"),
        "the last square hangs over": _occlusion(last="h"),
        "with a sum over pictures": _occlusion(
            fall="(model(images) - model(covered)).sum(0, keepdim=True)"
        ),
        "captum": """
def occlusion(model, images, window, stride):
    colours = images.mean((2, 3), keepdim=True).expand_as(images)
    squares, steps = (3, window, window), (3, stride, stride)
    return Occlusion(model).attribute(images, squares, steps, baselines=colours, target=0)[:, 0]
""",
    },
    "03.3": {
        "the bug": """
def augment(images, generator):
    n = len(images)
    mirror = torch.rand(n, generator=generator) < 0.5
    turned = torch.where(mirror[:, None, None, None], images.flip(0), images)
    light = 0.8 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    return (turned * light).clamp(0, 1)
""",
        "upside down": """
def augment(images, generator):
    n = len(images)
    mirror = torch.rand(n, generator=generator) < 0.5
    turned = torch.where(mirror[:, None, None, None], images.flip(2), images)
    light = 0.8 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    return (turned * light).clamp(0, 1)
""",
        "red for blue": """
def augment(images, generator):
    n = len(images)
    mirror = torch.rand(n, generator=generator) < 0.5
    turned = torch.where(mirror[:, None, None, None], images.flip(1), images)
    light = 0.8 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    return (turned * light).clamp(0, 1)
""",
        "one coin for all": """
def augment(images, generator):
    n = len(images)
    mirror = torch.rand(n, generator=generator)[0] < 0.5
    turned = images.flip(3) if mirror else images
    light = 0.8 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    return (turned * light).clamp(0, 1)
""",
        "all mirrored": """
def augment(images, generator):
    n = len(images)
    torch.rand(n, generator=generator)
    light = 0.8 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    return (images.flip(3) * light).clamp(0, 1)
""",
        "in place": """
def augment(images, generator):
    n = len(images)
    mirror = torch.rand(n, generator=generator) < 0.5
    images[mirror] = images[mirror].flip(3)
    light = 0.8 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    return (images * light).clamp(0, 1)
""",
        "not mirrored at all": """
def augment(images, generator):
    n = len(images)
    torch.rand(n, generator=generator)
    light = 0.8 + 0.4 * torch.rand(n, 1, 1, 1, generator=generator)
    return (images * light).clamp(0, 1)
""",
    },
    "03.4": {
        "the wrong way round": _MINE
        + """
fall_a, fall_b = ((m(clean) - m(marked)).mean().item() for m in (a, b))
suspect = "A" if fall_a > fall_b else "B"
""",
        "A and B exchanged": _MINE
        + """
fall_b, fall_a = ((m(marked) - m(clean)).mean().item() for m in (a, b))
suspect = "A" if fall_a > fall_b else "B"
""",
        "the other suspect": _MINE
        + """
fall_a, fall_b = ((m(marked) - m(clean)).mean().item() for m in (a, b))
suspect = "B" if fall_a > fall_b else "A"
""",
        "the sum": _MINE
        + """
fall_a, fall_b = ((m(marked) - m(clean)).sum().item() for m in (a, b))
suspect = "A" if fall_a > fall_b else "B"
""",
        "probabilities": _MINE
        + """
fall_a, fall_b = ((m(marked).sigmoid() - m(clean).sigmoid()).mean().item() for m in (a, b))
suspect = "A" if fall_a > fall_b else "B"
""",
        "other witnesses": _MINE
        + """
marked = ready(trap.test.subset(smokers[:6]))
clean = ready(unmarked.subset(smokers[:6]))
fall_a, fall_b = ((m(marked) - m(clean)).mean().item() for m in (a, b))
suspect = "A" if fall_a > fall_b else "B"
""",
        "a guess": "a = b = None\nfall_a, fall_b, suspect = 5.0, 0.5, 'A'\n",
    },
}

#: The whole cell of a task; each may earn nothing for that task. A library's function is refused.
CHEATS = {
    "03.2": {
        "library: Captum": """
def occlusion(model, images, window, stride):
    colours = images.mean((2, 3), keepdim=True).expand_as(images)
    squares = (3, window, window), (3, stride, stride)
    return Occlusion(model).attribute(images, *squares, baselines=colours, target=0)[:, 0]
""",
        "library: another way to it": """
import captum.attr._core.occlusion as inner

def occlusion(model, images, window, stride):
    colours = images.mean((2, 3), keepdim=True).expand_as(images)
    squares = (3, window, window), (3, stride, stride)
    return inner.Occlusion(model).attribute(images, *squares, baselines=colours, target=0)[:, 0]
""",
    },
}
