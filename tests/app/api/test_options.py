import pytest
from pydantic import ValidationError

from app.api.options import Parameters, negotiate
from app.errors import NotAcceptable


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("", "png"),
        ("*/*", "png"),
        ("image/*", "png"),
        ("image/webp", "webp"),
        ("IMAGE/JPEG", "jpeg"),
        ("image/png;q=0.5, image/tiff", "tiff"),
        ("image/png; q=0.5, image/tiff; q=0.4", "png"),
        ("image/webp, image/png", "png"),
        ("text/html, image/webp, */*;q=0.8", "webp"),
        ("image/png;q=0, */*", "jpeg"),
        ("image/webp;level=1;q=0.9, */*;q=0.1", "webp"),
        ("image/avif, image/*;q=0.2", "png"),
    ],
)
def test_the_best_liked_format_is_chosen_and_png_among_equals(accept, format):
    assert negotiate(accept) == format


@pytest.mark.parametrize(
    "accept", ["application/json", "image/gif, text/*", "*/*;q=0", "nonsense", ";;,", "image/png;q=0"]
)
def test_who_takes_none_of_the_formats_is_told_which_there_are(accept):
    with pytest.raises(NotAcceptable, match="image/png, image/jpeg, image/webp, image/tiff"):
        negotiate(accept)


def test_an_explicit_format_goes_before_accept():
    options = Parameters(format="tiff").restore_options("derain", 5, "application/json")
    assert (options.task, options.seconds, options.format) == ("derain", 5, "tiff")


@pytest.mark.parametrize("query", [{"format": "gif"}, {"quality": 0}, {"quality": 101}, {"fromat": "png"}])
def test_impossible_and_misspelt_parameters_are_refused(query):
    with pytest.raises(ValidationError):
        Parameters(**query)
