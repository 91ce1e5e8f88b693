"""Which picture goes where: nothing is lost, by whatever names, links and flags."""

import os

import pytest

from app.cli.targets import READ, STREAM, WRITTEN, TargetError, listed, plan, shown
from app.imaging.encode import OUT_FORMATS


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(here, *names):
    for name in names:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(name.encode())


def targets(here, paths, out, format=None, **flags):
    found = plan([here / path for path in paths], here / out, format, **flags)
    return {str(source.relative_to(here)): str(target.relative_to(here)) for source, target in found.pairs}


def test_the_suffixes_are_those_that_the_encoder_knows():
    assert {(suffix, name) for name, format in OUT_FORMATS.items() for suffix in format.suffixes} == set(
        WRITTEN.items()
    )


def test_pictures_of_one_name_and_several_formats_get_names_of_their_own(here):
    make(here, "in/photo.png", "in/photo.bmp", "in/photo.avif", "in/other.heic")
    assert targets(here, ["in"], "out") == {
        "in/other.heic": "out/other.png",
        "in/photo.avif": "out/photo.avif.png",
        "in/photo.bmp": "out/photo.bmp.png",
        "in/photo.png": "out/photo.png",
    }


def test_one_format_for_all_keeps_them_apart_too(here):
    """A phone that writes IMG_1.HEIC and IMG_1.JPG of one shot is common."""
    make(here, "in/IMG_1.HEIC", "in/IMG_1.JPG", "in/IMG_1.jpeg", "in/two.webp")
    assert targets(here, ["in"], "out", "jpeg") == {
        "in/IMG_1.HEIC": "out/IMG_1.HEIC.jpg",
        "in/IMG_1.JPG": "out/IMG_1.JPG",
        "in/IMG_1.jpeg": "out/IMG_1.jpeg",
        "in/two.webp": "out/two.jpg",
    }


@pytest.mark.parametrize(
    "paths",
    [
        ["d1/DSC1.jpg", "d2/DSC1.jpg"],
        ["d1", "d2"],
        ["d1", "d2/DSC1.jpg"],
        ["d1/clash.png", "d1/clash.bmp.png", "d1/clash.bmp"],
    ],
)
def test_two_pictures_of_one_target_are_named_and_nothing_is_planned(here, paths):
    make(here, "d1/DSC1.jpg", "d2/DSC1.jpg", "d1/clash.png", "d1/clash.bmp", "d1/clash.bmp.png")
    with pytest.raises(TargetError) as refusal:
        targets(here, paths, "out", overwrite=True, resume=True)
    assert str(refusal.value).count(str(here)) == 3, "both pictures and the target"


@pytest.mark.parametrize("again", ["a.jpg", "./a.jpg", "sub/../a.jpg", "link.jpg"])
def test_one_picture_by_several_names_is_restored_once(here, again):
    make(here, "a.jpg", "sub/b.jpg")
    (here / "link").mkdir()
    os.symlink(here / "a.jpg", here / "link" / "a.jpg")
    again = "link/a.jpg" if again == "link.jpg" else again
    assert len(plan([here / "a.jpg", here / again], here / "out", None).pairs) == 1


@pytest.mark.parametrize("out", ["in", "in/../in", "in/.", "link", "in/a.jpg", "hard.jpg", "soft.jpg"])
@pytest.mark.parametrize("resume", [False, True])
def test_an_original_is_replaced_by_overwrite_only(here, out, resume):
    """By whatever name: through a link to its folder, a hard link or a symbolic one."""
    make(here, "in/a.jpg")
    os.symlink(here / "in", here / "link")
    os.link(here / "in/a.jpg", here / "hard.jpg")
    os.symlink(here / "in/a.jpg", here / "soft.jpg")
    source = "in" if (here / out).is_dir() else "in/a.jpg"
    with pytest.raises(TargetError, match="original"):
        targets(here, [source], out, resume=resume)
    assert len(targets(here, [source], out, overwrite=True)) == 1


def test_even_overwrite_does_not_let_a_result_replace_another_original(here):
    make(here, "one/sub/a.jpg", "two/sub/a.jpg")
    with pytest.raises(TargetError, match="another original"):
        targets(here, ["one", "two/sub/a.jpg"], "two", overwrite=True)


def test_what_is_there_is_left_or_replaced_as_asked(here):
    make(here, "in/a.jpg", "in/b.jpg", "out/a.jpg")
    with pytest.raises(TargetError, match=r"out/a.jpg is there already; --resume .*--overwrite"):
        targets(here, ["in"], "out")
    assert targets(here, ["in"], "out", resume=True) == {"in/b.jpg": "out/b.jpg"}
    assert plan([here / "in"], here / "out", None, resume=True).done == [here / "out/a.jpg"]
    assert len(targets(here, ["in"], "out", overwrite=True)) == 2


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_what_may_be_another_picture_s_result_is_not_done(here, seconds):
    """Two folders with pictures of one name, or a new picture whose name a result had to give up, are told by time."""
    make(here, "d1/DSC1.jpg", "d2/DSC1.jpg", "out/DSC1.jpg")
    status = (here / "d1/DSC1.jpg").stat()
    os.utime(here / "d2/DSC1.jpg", (0, status.st_mtime + seconds))
    os.utime(here / "out/DSC1.jpg", (0, status.st_mtime + 1))  # a disk that counts in steps of two seconds
    assert plan([here / "d1"], here / "out", None, resume=True).done == [here / "out/DSC1.jpg"]
    second = plan([here / "d2"], here / "out", None, resume=True)
    assert (second.pairs, second.done) == ([], [])
    assert second.doubtful == [(here / "d2/DSC1.jpg", here / "out/DSC1.jpg")]


@pytest.mark.parametrize("resume", [False, True])
def test_a_link_to_nothing_is_no_result_and_no_folder(here, resume):
    make(here, "in/a.png", "in/b.png")
    (here / "out").mkdir()
    (here / "out/a.png").symlink_to(here / "gone.png")
    with pytest.raises(TargetError, match="link to nothing" if resume else "there already"):
        plan([here / "in"], here / "out", None, resume=resume)
    (here / "dangling").symlink_to(here / "gone")
    with pytest.raises(TargetError, match="dangling is a link to nothing"):
        plan([here / "in"], here / "dangling", None, resume=resume)


def test_a_link_beside_a_picture_that_is_replaced_is_not_restored_once_more(here):
    make(here, "in/b.png")
    (here / "in/a.png").symlink_to("b.png")
    (here / "in/c.png").symlink_to("b.png")
    found = plan([here / "in"], here / "in", None, overwrite=True)
    assert found.pairs == [(here / "in/b.png", here / "in/b.png")]
    assert found.passed_over == [here / "in/a.png", here / "in/c.png"]
    assert len(plan([here / "in"], here / "out", None).pairs) == 3


@pytest.mark.parametrize("out", ["in/out", "in/deep/out", "in/../in/out", "link/out"])
def test_results_inside_the_input_folder_are_not_restored_again(here, out):
    make(here, "in/a.jpg", "in/deep/b.jpg", "in/out/old.jpg", "in/deep/out/old.jpg")
    os.symlink(here / "in", here / "link")
    found = plan([here / "in"], here / out, None)
    sources = {str(source.relative_to(here)) for source, _ in found.pairs}
    inner = "in/deep/out/old.jpg" if "deep" in out else "in/out/old.jpg"
    assert sources == {"in/a.jpg", "in/deep/b.jpg", "in/out/old.jpg", "in/deep/out/old.jpg"} - {inner}


def test_a_folder_of_all_sorts_says_what_it_passed_over(here):
    pictures = [f"in/p{number}{suffix}" for number, suffix in enumerate(READ)]
    others = ["in/._p0.jpg", "in/notes.txt", "in/.DS_Store", "in/raw.CR2"]
    make(here, *pictures, *others)
    os.mkfifo(here / "in/pipe.jpg")
    (here / "in/elsewhere").symlink_to(here)
    found = plan([here / "in"], here / "out", None)
    assert sorted(str(source.relative_to(here)) for source, _ in found.pairs) == sorted(pictures)
    passed_over = {str(path.relative_to(here)) for path in found.passed_over}
    assert passed_over == {*others, "in/pipe.jpg", "in/elsewhere"}


def test_a_file_named_by_hand_is_tried_whatever_its_name(here):
    make(here, "photo", "._odd.jpg", "v1.2")
    assert targets(here, ["photo", "._odd.jpg", "v1.2"], "out") == {
        "photo": "out/photo.png",
        "._odd.jpg": "out/._odd.jpg",
        "v1.2": "out/v1.2.png",
    }


@pytest.mark.parametrize(
    ("out", "format", "words"),
    [
        ("out.bmp", None, ".bmp cannot be written"),
        ("out.png", "jpeg", "says png and --format says jpeg"),
        ("taken.txt/", None, "cannot be written"),
    ],
)
def test_a_name_that_cannot_be_is_said_before_any_work(here, out, format, words):
    make(here, "a.jpg", "taken.txt")
    with pytest.raises(TargetError, match=words):
        plan([here / "a.jpg"], here / out, format)


def test_the_results_of_several_need_a_folder(here):
    make(here, "a.jpg", "b.jpg", "taken")
    with pytest.raises(TargetError, match="is a file"):
        plan([here / "a.jpg", here / "b.jpg"], here / "taken", None)
    (here / "out/a.jpg").mkdir(parents=True)
    with pytest.raises(TargetError, match="is a folder"):
        plan([here / "a.jpg", here / "b.jpg"], here / "out", None, overwrite=True)


@pytest.mark.parametrize("paths", [("a.jpg", "b.jpg"), ("album",)])
def test_several_do_not_go_into_a_folder_that_is_called_like_a_picture(here, paths):
    make(here, "a.jpg", "b.jpg", "album/c.jpg")
    with pytest.raises(TargetError, match=r"out\.JPG names one picture; .* need a folder"):
        targets(here, paths, "out.JPG")
    (here / "out.JPG").mkdir()  # if there is such a folder, it is meant
    assert len(targets(here, paths, "out.JPG")) == len(paths)


def test_what_is_not_there_is_said_and_does_not_stop_the_rest(here):
    make(here, "a.jpg")
    with pytest.raises(TargetError, match=r"there is no .*x\.jpg"):
        plan([here / "x.jpg"], here / "out", None)
    assert len(plan([here / "a.jpg", here / "x.jpg"], here / "out", None).pairs) == 2


def test_a_dash_needs_a_name_or_a_format():
    assert plan([STREAM], STREAM, None).pairs == [(STREAM, STREAM)]
    with pytest.raises(TargetError, match="no suffix"):
        plan([STREAM], STREAM.parent / "clean", None)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("IMG [final].jpg", "IMG [final].jpg"),
        ("[/b] ünï 日本.png", "[/b] ünï 日本.png"),
        ("a\x1b[31mred\n.jpg", "a\\x1b[31mred\\n.jpg"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\udce9.jpg"),
    ],
)
def test_names_are_printed_as_they_are_and_do_nothing_to_the_terminal(name, printed):
    assert shown(name) == printed
    printed.encode()


def test_many_names_are_counted(here):
    assert listed([here / str(number) for number in range(5)]).endswith("/2 and 2 more")
    assert listed([STREAM / "a"]) == "-/a"


def test_a_link_out_of_a_folder_is_read_only_if_it_is_named(here):
    make(here, "in/a.png", "elsewhere/secret.png")
    (here / "in/inside.png").symlink_to(here / "in/a.png")
    (here / "in/outside.png").symlink_to(here / "elsewhere/secret.png")
    found = plan([here / "in"], here / "out", None)
    assert found.passed_over == [here / "in/outside.png"]
    assert here / "in/outside.png" not in dict(found.pairs)
    assert targets(here, ["in/outside.png"], "out") == {"in/outside.png": "out/outside.png"}


def test_results_are_not_written_through_links_below_the_output_folder(here):
    make(here, "in/sub/a.png", "elsewhere/b.png")
    (here / "out").mkdir()
    (here / "out/sub").symlink_to(here / "elsewhere")
    with pytest.raises(TargetError, match="sub is a link"):
        plan([here / "in"], here / "out", None)
    (here / "linked").symlink_to(here / "elsewhere")
    assert targets(here, ["in"], "linked") == {"in/sub/a.png": "linked/sub/a.png"}
