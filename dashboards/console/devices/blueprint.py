"""The blueprint of the inventory and of the device pages; the modules of this package hang their views on it."""

from __future__ import annotations

from flask import Blueprint

from dashboards.drawing import spark_pair, strip_ticks

blueprint = Blueprint("devices", __name__, url_prefix="/devices")
blueprint.add_app_template_global(spark_pair, "spark_pair")
blueprint.add_app_template_global(strip_ticks, "strip_ticks")
