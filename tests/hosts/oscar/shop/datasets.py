from oscar.core.loading import get_model

from exports.datasets import Dataset, Money, Nested, register


@register
class Orders(Dataset):
    model, owner, date_field = get_model("order", "Order"), "user", "date_placed"
    columns = (
        "number",
        "date_placed",
        Money("total_incl_tax", currency="currency"),
        "status",
        Nested("lines", ["title", "quantity", "line_price_incl_tax"]),
    )
