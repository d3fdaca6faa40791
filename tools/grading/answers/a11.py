"""Answers to assignment 11."""

RIGHT = {
    "11.1": {
        "all orders": """
def shapley(values):
    parts = len(values).bit_length() - 1
    worth = np.zeros(parts)
    for order in itertools.permutations(range(parts)):
        inside = 0
        for part in order:
            worth[part] += values[inside | 1 << part] - values[inside]
            inside |= 1 << part
    return worth / math.factorial(parts)
""",
        "a matrix of weights": """
def shapley(values):
    v = torch.as_tensor(np.asarray(values, dtype=float))
    n = int(math.log2(len(v)) + 0.5)
    inside = (torch.arange(len(v))[:, None] >> torch.arange(n)) & 1
    size = inside.sum(1)
    up = torch.tensor([1 / (n * math.comb(n - 1, max(int(k) - 1, 0))) for k in size])
    down = torch.tensor([1 / (n * math.comb(n - 1, min(int(k), n - 1))) for k in size])
    weights = torch.where(inside == 1, up[:, None], -down[:, None]).double()
    return (weights * v[:, None]).sum(0)
""",
    },
    "11.2": {
        "a matrix of signs": """
def kendall(first, second):
    a, b = np.asarray(first), np.asarray(second)
    signs = np.sign(a[:, None] - a) * np.sign(b[:, None] - b)
    return signs.sum() / (len(a) * (len(a) - 1))
""",
        "counted in two loops": """
def kendall(first, second):
    same = opposite = pairs = 0
    for i in range(len(first)):
        for j in range(i):
            pairs += 1
            a, b = first[i] - first[j], second[i] - second[j]
            if a * b > 0:
                same += 1
            elif a * b < 0:
                opposite += 1
    return torch.tensor((same - opposite) / pairs)
""",
    },
    "11.3": {
        "all pixels so far": """
def deletion_curve(score, image, values, n_steps):
    order = values.flatten().argsort(descending=True, stable=True)
    found = []
    for k in range(n_steps + 1):
        deleted = image.clone().flatten(1)
        deleted[:, order[: k * len(order) // n_steps]] = 0
        found.append(score(deleted.view_as(image)))
    return torch.stack(found)
""",
        "a mask of ranks": """
def deletion_curve(score, image, values, n_steps):
    rank = torch.empty(values.numel(), dtype=torch.long)
    rank[(-values.flatten()).argsort(stable=True)] = torch.arange(values.numel())
    rank = rank.view(values.shape)
    cuts = [round(k * values.numel() / n_steps) for k in range(n_steps + 1)]
    return torch.tensor([float(score(image * (rank >= cut))) for cut in cuts])
""",
    },
    "11.4": {
        "one by one": """
mine = picture_of(cu.student_seed(student))
target = int(model(mine[None]).argmax())
centre = torch.outer(torch.hann_window(32), torch.hann_window(32))
bright = mine.mean(dim=0)
values = [float(score(picture[None], target)) for picture in subsets(mine)]
worth = shapley(np.array(values))
taus = []
for one in (gradient_x_input(mine, target), centre, bright):
    taus.append(kendall([float(one[tile].sum()) for tile in tiles], worth))
""",
        "the libraries' functions": """
mine = picture_of(cu.student_seed(student))
target = int(model(mine[None]).argmax())
centre = torch.outer(torch.hann_window(32), torch.hann_window(32))
bright = mine.mean(dim=0)
worth = evaluation.shapley_values(score(subsets(mine), target).tolist())
maps = torch.stack([gradient_x_input(mine, target), centre, bright])
sums = torch.einsum("mhw,khw->mk", maps, tiles.float())
sums[1] = sums[1].round(decimals=3)
taus = np.array([kendall(row.numpy(), worth) for row in sums])
""",
    },
}

_MINE = """
mine = picture_of(cu.student_seed(student))
target = int(model(mine[None]).argmax())
centre = torch.outer(torch.hann_window(32), torch.hann_window(32))
bright = mine.mean(dim=0)
worth = evaluation.shapley_values(score(subsets(mine), target).numpy())
maps = gradient_x_input(mine, target), centre, bright
taus = [kendall((tiles * one).sum(dim=(1, 2)).numpy(), worth) for one in maps]
"""

_SHAPLEY = """
def shapley(values):
    n = len(values).bit_length() - 1
    worth = np.zeros(n)
    for s in range(len(values)):
        size = s.bit_count()
        for i in range(n):
            if {outside}:
                worth[i] += {weight} * (values[s | {bit}] - values[s])
    return worth
"""


def _shapley(**changed: str) -> str:
    usual = {
        "outside": "not s >> i & 1",
        "weight": "math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)",
        "bit": "1 << i",
    }
    return _SHAPLEY.format(**usual | changed)


_CURVE = """
def deletion_curve(score, image, values, n_steps):
    order = values.flatten().argsort(descending={descending}, stable=True)
    scores, deleted = {start}
    for part in order.chunk(n_steps):
        {step}
        scores.append(score(deleted))
    return torch.stack(scores)
"""


def _curve(**changed: str) -> str:
    usual = {
        "descending": "True",
        "start": "[score(image)], image.clone()",
        "step": "deleted.view(3, -1)[:, part] = 0",
    }
    return _CURVE.format(**usual | changed)


WRONG = {
    "11.1": {
        "taken out of the whole": """
def shapley(values):
    n = len(values).bit_length() - 1
    return np.array([values[-1] - values[len(values) - 1 - (1 << i)] for i in range(n)])
""",
        "added to nothing": """
def shapley(values):
    n = len(values).bit_length() - 1
    return np.array([values[1 << i] - values[0] for i in range(n)])
""",
        "all subsets alike": _shapley(weight="1 / 2 ** (n - 1)"),
        "the parts from the other end": _shapley(
            outside="not s >> (n - 1 - i) & 1", bit="(1 << (n - 1 - i))"
        ),
        "size of the larger set": _shapley(
            weight="math.factorial(size + 1) * math.factorial(n - size - 1) / math.factorial(n)"
        ),
        "not divided": _shapley(weight="math.factorial(size) * math.factorial(n - size - 1)"),
        "one order": """
def shapley(values):
    n = len(values).bit_length() - 1
    return np.array([values[2 ** (i + 1) - 1] - values[2**i - 1] for i in range(n)])
""",
    },
    "11.2": {
        "Pearson's correlation": """
def kendall(first, second):
    return np.corrcoef(first, second)[0, 1]
""",
        "Spearman's correlation": """
def kendall(first, second):
    ranks = [np.argsort(np.argsort(x)) for x in (first, second)]
    return np.corrcoef(*ranks)[0, 1]
""",
        "share of pairs in the same order": """
def kendall(first, second):
    pairs = list(itertools.combinations(range(len(first)), 2))
    return sum((first[i] - first[j]) * (second[i] - second[j]) > 0 for i, j in pairs) / len(pairs)
""",
        "a pair with itself": """
def kendall(first, second):
    a, b = np.asarray(first), np.asarray(second)
    return (np.sign(a[:, None] - a) * np.sign(b[:, None] - b)).sum() / len(a) ** 2
""",
        "ties count as opposite": """
def kendall(first, second):
    pairs = list(itertools.combinations(range(len(first)), 2))
    same = sum((first[i] - first[j]) * (second[i] - second[j]) > 0 for i, j in pairs)
    return (2 * same - len(pairs)) / len(pairs)
""",
        "ties left out": """
def kendall(first, second):
    return kendalltau(first, second).statistic
""",
        "not divided": """
def kendall(first, second):
    pairs = itertools.combinations(range(len(first)), 2)
    return sum(np.sign((first[i] - first[j]) * (second[i] - second[j])) for i, j in pairs)
""",
    },
    "11.3": {
        "the bug": _curve(step="deleted = image.clone(); deleted.view(3, -1)[:, part] = 0"),
        "the lowest first": _curve(descending="False"),
        "in the picture itself": _curve(start="[score(image)], image"),
        "one channel": _curve(step="deleted[0].view(-1)[part] = 0"),
        "without the whole picture": _curve(start="[], image.clone()"),
        "black instead of grey": _curve(step="deleted.view(3, -1)[:, part] = -1"),
        "grey at first, the picture comes back": _curve(
            start="[score(0 * image)], 0 * image",
            step="deleted.view(3, -1)[:, part] = image.view(3, -1)[:, part]",
        ),
    },
    "11.4": {
        "of a single logit": _MINE
        + """
worth = evaluation.shapley_values(model(subsets(mine))[:, target].numpy())
taus = [kendall((tiles * one).sum(dim=(1, 2)).numpy(), worth) for one in maps]
""",
        "magnitudes": _MINE
        + "taus = [kendall((tiles * one.abs()).sum((1, 2)).numpy(), worth) for one in maps]\n",
        "without the sign of the truth": _MINE + "worth = np.abs(worth)\n",
        "another class": _MINE
        + """
target = (target + 1) % 10
worth = evaluation.shapley_values(score(subsets(mine), target).numpy())
""",
        "the example": _MINE
        + """
mine = example
worth = evaluation.shapley_values(score(subsets(mine), goal).numpy())
""",
        "one tile at a time": _MINE
        + """
values = score(subsets(mine), target)
worth = np.array([float(values[255] - values[255 - (1 << k)]) for k in range(8)])
""",
        "shares": _MINE + "worth = worth / worth.sum()\n",
        "the maps in another order": _MINE + "taus = taus[::-1]\n",
    },
}

#: The whole cell of a task; each may earn nothing for that task. A library's function is refused.
CHEATS = {
    "11.1": {
        "library: the course's": """
from course_utils.evaluation import shapley_values as theirs

def shapley(values):
    return theirs(values)
""",
    },
    "11.2": {
        "library: SciPy": """
import scipy.stats

def kendall(first, second):
    pairs = len(first) * (len(first) - 1) / 2
    ties = pairs - sum(a != b for a, b in itertools.combinations(first, 2))
    return scipy.stats.kendalltau(first, second).statistic * ((pairs - ties) / pairs) ** 0.5
""",
        "library: pandas": """
def kendall(first, second):
    import pandas as pd
    return pd.Series(first).corr(pd.Series(second), method="kendall")
""",
    },
}
