"""What filters come to in our SQL."""

from __future__ import annotations

from typing import Final

from queuectl_engine.filter import Field
from queuectl_engine.repository.filtering import Filtering

FILTERING: Final = Filtering(
    value=":{}",
    of_job={
        Field.WORD: "(command LIKE {0} ESCAPE '\\' OR key LIKE {0} ESCAPE '\\')",
        Field.KEY: "(key LIKE {0} ESCAPE '\\')",
        Field.QUEUE: "(queue = (SELECT id FROM queue WHERE name = {0}))",
        Field.STATE: "(instr({0}, ' ' || state || ' ') > 0)",  # all of them in one value
        Field.CAUSE: "(state = 'dead' AND cause = {0})",
        # Of an exit code that is not retried, the reason says so after a comma.
        Field.EXIT: "(reason LIKE {0} OR reason LIKE {0} || ', %')",
        Field.SCHEDULE: """
            (CAST(job.schedule AS TEXT) = {0}
             OR job.schedule = (SELECT s.id FROM schedule AS s WHERE s.name = {0}))
        """,
        Field.OLDER: "(updated_ms < {0})",
        Field.YOUNGER: "(updated_ms > {0})",
        Field.LABEL: """
            EXISTS (SELECT 1 FROM job_label WHERE job_label.job = job.id
                     AND job_label.label = (SELECT label.id FROM label WHERE label.name = {0}))
        """,
    },
    of_cause={
        Field.WORD: "(program || ' ' || ended || ' ' || line LIKE {0} ESCAPE '\\')",
        Field.EXIT: "(ended LIKE {0})",
    },
)
