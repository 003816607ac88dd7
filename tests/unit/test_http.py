"""Tests of the HTTP client: it sends the form data that a browser would send."""

from deploy.http import Answer

PAGE = b"""<form action="/go" method="post">
<input type="hidden" name="token" value="t">
<input type="checkbox" name="fields" value="a" checked><input type="checkbox" name="fields" value="b">
<input type="checkbox" name="fields" value="c" checked><input type="checkbox" name="one" value="d" checked>
<input type="radio" name="format" value="csv"><input type="radio" name="format" value="pdf" checked>
<select name="dataset"><option value="orders"></option><option value="invoices" selected></option></select>
<button name="change" value="all"></button></form>"""


def test_a_form_sends_all_checked_boxes_and_no_button() -> None:
    form = Answer(200, "http://127.0.0.1/", {}, PAGE).form("dataset")
    expected = {"token": "t", "fields": ["a", "c"], "one": "d", "format": "pdf", "dataset": "invoices"}
    assert (form.action, form.fields) == ("/go", expected)
