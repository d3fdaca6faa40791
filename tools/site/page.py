"""Changes to a lesson's HTML: what markdown and outputs left there, made fit for a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from bs4 import BeautifulSoup

REMOTE = re.compile(r"^(https?:)?//", re.IGNORECASE)

#: Elements and attributes that make a browser load something as soon as the page is open.
LOADING = {
    "img": ("src", "srcset"),
    "script": ("src",),
    "link": ("href",),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "source": ("src", "srcset"),
    "embed": ("src",),
    "object": ("data",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
    "input": ("src",),
    "track": ("src",),
}

#: ``> [!NOTE]`` and its kin, as GitHub draws them; also ``> **Note**``.
ASIDE = re.compile(r"^\s*\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\s*", re.IGNORECASE)


@dataclass
class Heading:
    """One entry of a page's contents."""

    anchor: str
    html: str
    level: int


@dataclass
class Link:
    """An address with its text."""

    text: str
    address: str


def take_title(soup: BeautifulSoup) -> str:
    """Take the first ``<h1>`` out; the page shows it in its header. Later ones become ``<h2>``.

    The lesson's number, where the title begins with it (``02 · …``), is left to the page.
    """
    first, *others = soup.find_all("h1") or [None]
    for heading in others:
        heading.name = "h2"
    return re.sub(r"^\d+\s*[·:.–-]\s*", "", first.extract().get_text().strip()) if first else ""


def take_badges(soup: BeautifulSoup) -> list[Link]:
    """Take out the paragraph that consists of linked badges; the page shows them as buttons."""
    for paragraph in soup.select("div.prose > p"):
        links = paragraph.find_all("a", recursive=False)
        if links and not paragraph.get_text().strip() and all(a.find("img") for a in links):
            paragraph.extract()
            return [Link(str(a.find("img").get("alt") or a["href"]), str(a["href"])) for a in links]
    return []


def mark_promise(soup: BeautifulSoup) -> str:
    """Find the sentence under the title, mark it for the style sheet, and return its text."""
    first = soup.select_one("div.prose > *")
    if first is not None and first.name == "blockquote":
        first = first.find("p")
    if first is None or first.name != "p":
        return ""
    first["class"] = "lead"
    return first.get_text(" ", strip=True) if not first.find("math") else first.get_text().strip()


def number_headings(soup: BeautifulSoup) -> list[Heading]:
    """Give headings the anchors that Jupyter gives them, and list those for the contents."""
    taken: set[str] = set()
    contents = []
    for heading in soup.select("div.prose h2, div.prose h3, div.prose h4"):
        base = re.sub(r"\s+", "-", heading.get_text().strip()).replace('"', "")
        anchor, count = base, 1
        while anchor in taken:
            count += 1
            anchor = f"{base}-{count}"
        taken.add(anchor)
        heading["id"] = anchor
        if heading.name in ("h2", "h3") and not heading.find_parent("details"):
            contents.append(Heading(anchor, heading.decode_contents(), int(heading.name[1])))
        link = soup.new_tag("a", href=f"#{anchor}", attrs={"class": "anchor"})
        link["aria-label"] = "Link to this section"
        link.string = "#"
        heading.append(link)
    return contents


def point_links(
    soup: BeautifulSoup, lessons: set[str], repository: str, folder: PurePosixPath
) -> None:
    """Turn links between notebooks into links between pages, and other files' to the repository."""
    for link in soup.find_all("a", href=True):
        address = str(link["href"])
        if REMOTE.match(address):
            link["rel"] = "noopener"
            continue
        if re.match(r"^(#|[a-z]+:)", address) or "zoom" in link.get("class", []):
            continue
        path, _, fragment = address.partition("#")
        stem = PurePosixPath(path).stem
        suffix = f"#{fragment}" if fragment else ""
        if path.endswith(".ipynb") and "/" not in path.removeprefix("./") and stem in lessons:
            link["href"] = f"{stem}.html{suffix}"
        else:
            link["href"] = f"{repository}/blob/main/{resolved(folder / path)}{suffix}"


def resolved(path: PurePosixPath) -> PurePosixPath:
    """Path without ``.`` and ``..``."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return PurePosixPath(*parts)


def localize_pictures(soup: BeautifulSoup) -> list[str]:
    """Replace pictures from elsewhere by their text; return what cannot be shown."""
    problems = []
    for image in soup.find_all("img"):
        source = str(image.get("src", ""))
        if REMOTE.match(source):
            label = soup.new_tag("span", attrs={"class": "badge"})
            label.string = str(image.get("alt") or "picture")
            image.replace_with(label)
        elif not source.startswith(("data:", "files/")):
            problems.append(
                f"picture {source!r} is not part of the notebook; attach it to its cell"
            )
        image.attrs.setdefault("alt", "")
    return problems


def wrap_tables(soup: BeautifulSoup) -> None:
    """Let wide tables scroll by themselves instead of the whole page."""
    for table in soup.find_all("table"):
        table.wrap(soup.new_tag("div", attrs={"class": "table"}))


def mark_asides(soup: BeautifulSoup) -> None:
    """Turn ``> [!NOTE]`` quotations into asides with a heading."""
    for quote in soup.find_all("blockquote"):
        first = quote.find(string=True)
        while first is not None and not first.strip():
            first = first.find_next(string=True)
        found = ASIDE.match(first) if first is not None else None
        if not found:
            continue
        kind = found.group(1).lower()
        first.replace_with(ASIDE.sub("", first))
        quote["class"] = f"aside {kind}"
        label = soup.new_tag("p", attrs={"class": "aside-title"})
        label.string = kind.capitalize()
        quote.insert(0, label)


def remote_loads(text: str) -> list[str]:
    """Everything in a page that a browser would load from the network without being asked."""
    found = []
    soup = BeautifulSoup(text, "html.parser")
    for element in soup.find_all(list(LOADING)):
        for attribute in LOADING[element.name]:
            value = str(element.get(attribute, ""))
            if REMOTE.match(value.strip()):
                found.append(f"<{element.name} {attribute}> loads {value}")
    styles = [str(style.string or "") for style in soup.find_all("style")]
    styles += [str(element["style"]) for element in soup.find_all(style=True)]
    for style in styles:
        for address in re.findall(
            r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s]+)", style
        ):
            found.append(f"a style loads {address}")
    for script in soup.find_all("script", src=False):
        for address in re.findall(r"https?://[^\s'\"<>)]+", str(script.string or "")):
            found.append(f"a script names {address}")
    return found
