import pytest

from app.api.file_names import answer_name, disposition


@pytest.mark.parametrize(
    ("uploaded", "name"),
    [
        ("", "picture-derained.png"),
        ("rainy.jpg", "rainy-derained.png"),
        ("holiday.2024.tar.jpeg", "holiday.2024.tar-derained.png"),
        ("IMG_1", "IMG_1-derained.png"),
        ("C:\\photos\\rainy.jpg", "rainy-derained.png"),
        ("../../etc/passwd", "passwd-derained.png"),
        ("/", "picture-derained.png"),
        ("..", "picture-derained.png"),
        (".jpg", "jpg-derained.png"),
        ('a"b\r\nX-Evil: 1.jpg', "a_bX-Evil_ 1-derained.png"),
        ("a%22b.jpg", "a_b-derained.png"),
        ("gpj.\u202eexe", "gpj-derained.png"),
        ("x" * 500 + ".jpg", "x" * 100 + "-derained.png"),
    ],
)
def test_the_answer_is_named_after_the_upload(uploaded, name):
    assert answer_name(uploaded, "derain", "restored", "png") == name


def test_task_output_and_format_are_in_the_name():
    assert answer_name("a.png", "dehaze", "restored", "jpeg") == "a-dehazed.jpg"
    assert answer_name("a.png", "derain", "residual", "tiff") == "a-rain.tif"
    assert answer_name("a.png", "dehaze", "residual", "webp") == "a-haze.webp"


def test_names_beyond_ascii_are_written_twice():
    assert disposition("a.png") == 'inline; filename="a.png"'
    assert disposition("日 100%.png") == "inline; filename=\"_ 100_.png\"; filename*=UTF-8''%E6%97%A5%20100%25.png"
