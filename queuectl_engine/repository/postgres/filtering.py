"""What filters come to in our SQL."""

from __future__ import annotations

from typing import Final

from queuectl_engine.filter import Field
from queuectl_engine.repository.filtering import Filtering

FILTERING: Final = Filtering(
    value="%({})s",
    of_job={
        Field.WORD: "(command ILIKE {0} ESCAPE '\\' OR key ILIKE {0} ESCAPE '\\')",
        Field.KEY: "(key ILIKE {0} ESCAPE '\\')",
        Field.QUEUE: "(queue = (SELECT id FROM queue WHERE name = {0}))",
        Field.STATE: "(strpos({0}, ' ' || state || ' ') > 0)",  # all of them in one value
        Field.CAUSE: "(state = 'dead' AND cause = {0})",
        # Of an exit code that is not retried, the reason says so after a comma.
        Field.EXIT: "(reason ILIKE {0} OR reason ILIKE {0} || ', %%')",
        Field.SCHEDULE: """
            (job.schedule::text = {0}
             OR job.schedule = (SELECT s.id FROM schedule AS s WHERE s.name = {0}))
        """,
        Field.OLDER: "(updated_ms < {0})",
        Field.YOUNGER: "(updated_ms > {0})",
        Field.LABEL: """
            EXISTS (SELECT 1 FROM job_label
                     WHERE job_label.job = job.id AND job_label.label = {0})
        """,
    },
    of_cause={
        Field.WORD: "(program || ' ' || ended || ' ' || line ILIKE {0} ESCAPE '\\')",
        Field.EXIT: "(ended ILIKE {0})",
    },
)
