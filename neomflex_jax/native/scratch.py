"""Rows of vectors in scratch memory, one row a bus: what a kernel on many cases keeps of each bus.

Arrays hold cases one after another, (n_cases, n_columns); a vector holds the same number of as many cases. So what
enters and what leaves is transposed, a square of lanes by lanes at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from neomflex_jax.native.code import INDEX, INT32, Code, Vector


class ScratchRows:
    """Rows of `n_vectors` vectors each; `row` (n_columns,) int32 says which one holds which column of an array.

    `row` None: a row for each column, in their order.
    """

    def __init__(self, code: Code, scratch: ir.Value, n_vectors: int, row: ir.Value | None) -> None:
        self.code, self.scratch, self.n_vectors, self.row = code, scratch, n_vectors, row

    def get(self, row: ir.Value, kind: int) -> Vector:
        """Read a vector of a row."""
        return self.code.load(self.scratch, self._place(row, kind))

    def put(self, row: ir.Value, kind: int, vector: Vector) -> None:
        """Write a vector of a row."""
        self.code.store(vector, self.scratch, self._place(row, kind))

    def enter(self, array: ir.Value, kind: int, first_case: ir.Value, n_columns: ir.Value) -> None:
        """Copy a vector's worth of cases of an array to the rows."""
        code, build = self.code, self.code.build
        starts, squares = self._starts(first_case, n_columns)
        with code.count(INDEX(0), squares, code.lanes) as column:
            vectors = [code.load(array, build.add(start, column)) for start in starts]
            for row, vector in zip(self._rows_of(column), code.transposed(vectors), strict=True):
                self.put(row, kind, vector)
        with code.count(squares, n_columns) as column:
            value = ir.Constant(code.vector, ir.Undefined)
            for lane, start in enumerate(starts):
                place = build.gep(array, [build.add(start, column)])
                value = build.insert_element(value, build.load(place), INT32(lane))
            self.put(self._row_of(column), kind, Vector(build, value))

    def leave(
        self,
        array: ir.Value,
        kind: int,
        first_case: ir.Value,
        n_columns: ir.Value,
        *,
        skipped: ir.Value | None = None,
        width: ir.Value | None = None,
    ) -> None:
        """Copy a vector's worth of cases from the rows to an array: the inverse of `enter`.

        `skipped`, `width`: columns of the array that are left out before these, and how many it has in all.
        """
        self.leave_values(array, lambda row: self.get(row, kind), first_case, n_columns, skipped=skipped, width=width)

    def leave_values(
        self,
        array: ir.Value,
        read: Callable[[ir.Value], Vector],
        first_case: ir.Value,
        n_columns: ir.Value,
        *,
        skipped: ir.Value | None = None,
        width: ir.Value | None = None,
    ) -> None:
        """Copy what `read` makes of the columns' rows."""
        code, build = self.code, self.code.build
        starts, squares = self._starts(first_case, n_columns, skipped, width)
        with code.count(INDEX(0), squares, code.lanes) as column:
            vectors = code.transposed([read(row) for row in self._rows_of(column)])
            for start, vector in zip(starts, vectors, strict=True):
                code.store(vector, array, build.add(start, column))
        with code.count(squares, n_columns) as column:
            value = read(self._row_of(column)).value
            for lane, start in enumerate(starts):
                place = build.gep(array, [build.add(start, column)])
                build.store(build.extract_element(value, INT32(lane)), place)

    def _starts(
        self,
        first_case: ir.Value,
        n_columns: ir.Value,
        skipped: ir.Value | None = None,
        width: ir.Value | None = None,
    ) -> tuple[list[ir.Value], ir.Value]:
        """Index of each case's first element, and the number of columns in whole squares; the others go one by one."""
        build, lanes = self.code.build, self.code.lanes
        cases = [build.add(first_case, INDEX(lane)) for lane in range(lanes)]
        starts = [build.mul(case, n_columns if width is None else width) for case in cases]
        if skipped is not None:
            starts = [build.add(start, skipped) for start in starts]
        return starts, build.sub(n_columns, build.srem(n_columns, INDEX(lanes)))

    def _rows_of(self, column: ir.Value) -> list[ir.Value]:
        build = self.code.build
        return [self._row_of(build.add(column, INDEX(step))) for step in range(self.code.lanes)]

    def _row_of(self, column: ir.Value) -> ir.Value:
        return column if self.row is None else self.code.element(self.row, column)

    def _place(self, row: ir.Value, kind: int) -> ir.Value:
        build, lanes = self.code.build, self.code.lanes
        return build.add(build.mul(row, INDEX(self.n_vectors * lanes)), INDEX(kind * lanes))
