# SPDX-License-Identifier: Apache-2.0
"""Feedback by Langfuse's and Orq's own SDKs, unmodified; prints what they got as one line of JSON."""
import json
import os

from langfuse import Langfuse
from orq_ai_sdk import Orq

URL, KEY = os.environ["BASE_URL"], os.environ["API_KEY"]
TRACE = "0123456789abcdef0123456789abcdef"
found = {}

langfuse = Langfuse(public_key="anything", secret_key=KEY, host=URL)
langfuse.create_score(name="helpful", value=0.9, trace_id=TRACE, data_type="NUMERIC", comment="good", score_id="one")
langfuse.create_score(name="right", value=1, trace_id=TRACE, data_type="BOOLEAN", score_id="two")
langfuse.create_score(name="tone", value="kind", trace_id=TRACE, observation_id="0123456789abcdef",
                      data_type="CATEGORICAL", score_id="three", metadata={"k": "v"})
langfuse.create_score(name="stars", value=3, session_id="s1", score_id="four")
langfuse.create_score(name="helpful", value=0.4, trace_id=TRACE, data_type="NUMERIC", score_id="one")  # changed
langfuse.flush()
langfuse.create_score(name="gone", value=1, trace_id=TRACE, score_id="five")
langfuse.flush()
langfuse.api.scores.delete("five")

with Orq(api_key=KEY, server_url=URL) as orq:
    rating = orq.feedback.create(request={"property": "rating", "value": "good", "trace_id": TRACE})
    defects = orq.feedback.create(request={"property": "defects", "value": ["spelling", "off_topic"],
                                           "trace_id": TRACE, "id": "mine"})
    removed = orq.feedback.create(request={"property": "saved", "value": 1, "trace_id": TRACE})
    orq.feedback.remove(request={"id": removed.id, "trace_id": TRACE, "product": "deployments"})
    found["rating"] = rating.model_dump()
    found["defects"] = defects.model_dump()
print(json.dumps(found))
