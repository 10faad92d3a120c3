"""Runs the code of one node and answers on the socket at descriptor 0."""

import sys


def _drive():
    # Before any import: a `json.py` of the user is not for us. Absent in Python's safe-path mode.
    if sys.path[:1] == [""]:
        del sys.path[0]

    import ast
    import json
    import os
    import re

    channel = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    parts = []
    while part := os.read(channel, 1 << 20):
        parts.append(part)
    job = json.loads(b"".join(parts))
    del parts
    home = os.getpid()

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    def parsed(value):
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                pass
        return value

    inputs = {name: parsed(value) for name, value in job["inputs"].items()}
    extras = {"inputs": inputs, "node_id": job["node_id"], "globals": job["globals"]}

    class Inputs(dict):
        """The inputs; also answers for `inputs`, `node_id` and `globals`."""

        def __missing__(self, key):
            return extras[key]

        def get(self, key, default=None):
            return self[key] if key in self or key in extras else default

    def plain(value):
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).decode("utf-8", "replace")
        if isinstance(value, (set, frozenset)):
            try:
                return sorted(value)
            except TypeError:
                return list(value)
        return str(value)

    def send(kind, data):
        if os.getpid() != home:  # a fork of the code; the answer is not its to give
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        data = memoryview(kind + data)
        while data:
            data = data[os.write(channel, data) :]

    def fail(message):
        send(b"E", message[:65536].encode("utf-8", "replace"))

    def ended_well(error):
        """`sys.exit()` and `sys.exit(0)` are an end like any other."""
        return isinstance(error, SystemExit) and error.code in (None, 0)

    def called(function):
        result = function(Inputs(inputs))
        if hasattr(result, "__await__"):
            import asyncio

            async def wait():
                return await result

            return asyncio.run(wait())
        return result

    def inline(code):
        import linecache
        import types

        module = types.ModuleType("dipeo_code")
        module.__file__ = filename
        sys.modules[module.__name__] = module
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        tree = ast.parse(code, filename)
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        if any(isinstance(part, functions) and part.name == job["function"] for part in tree.body):
            exec(compile(tree, filename, "exec"), module.__dict__)
            return called(module.__dict__[job["function"]])
        names = {name: value for name, value in {**extras, **inputs}.items() if name.isidentifier()}
        try:
            compiled = compile(tree, filename, "exec")
        except SyntaxError as error:
            if error.msg != "'return' outside function":
                raise
            compiled = None
        if compiled is None:  # not in the handler above, or every traceback of the code would begin with that error
            return body(tree, names, module.__dict__)
        module.__dict__.update(names)
        try:
            exec(compiled, module.__dict__)
        except SystemExit as end:
            if not ended_well(end):
                raise
        return module.__dict__.get("result")

    def body(tree, names, module):
        """Code with a top-level `return` is the body of a function."""
        import keyword

        names = {name: value for name, value in names.items() if not keyword.iskeyword(name)}
        ending = ast.parse("return locals().get('result')").body
        parameters = ast.parse("def f({}): pass".format(", ".join(names))).body[0].args
        function = ast.parse("def code(): pass").body[0]
        function.args = parameters
        function.body = tree.body + ending
        tree.body = [function]
        exec(compile(ast.fix_missing_locations(tree), filename, "exec"), module)
        return module["code"](**names)

    def from_file(path):
        import importlib.machinery
        import importlib.util

        sys.path.insert(0, os.path.dirname(path))
        name = os.path.splitext(os.path.basename(path))[0]
        spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, path))
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        function = getattr(module, job["function"], None)
        if not callable(function):
            raise Missing("{} has no function `{}`".format(path, job["function"]))
        return called(function)

    def check_number(digits):
        if not -(1 << 63) <= int(digits) < 1 << 64:
            raise ValueError("{} is beyond 64 bits; hand it on as text".format(digits[:40]))

    class Missing(Exception):
        pass

    def explain(error):
        """The message, with the last line of the user's code that took part."""
        import traceback

        if isinstance(error, Missing):
            return str(error)
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
        if isinstance(error, SyntaxError) and error.filename == filename:
            text, line = "{}: {}".format(type(error).__name__, error.msg), error.lineno
            trace = None
        else:
            text = "{}: {}".format(type(error).__name__, error) if str(error) else type(error).__name__
            trace, line = error.__traceback__, None
            while trace is not None and trace.tb_frame.f_code.co_filename != filename:
                trace = trace.tb_next
            step = trace
            while step is not None:
                if step.tb_frame.f_code.co_filename == filename:
                    line = step.tb_lineno
                step = step.tb_next
        traceback.print_exception(type(error), error, trace)
        return text if line is None else "{} (line {})".format(text, line)

    filename = job["path"] or "<{}>".format(job["label"])
    sys.argv = [filename]
    sys.path.insert(0, job["base_dir"])
    try:
        result = inline(job["code"]) if job["path"] is None else from_file(job["path"])
    except BaseException as error:
        result, failure = None, None if ended_well(error) else explain(error)
    else:
        failure = None
    if failure is not None:
        fail(failure)
    else:
        try:
            text = json.dumps(result, default=plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
            data = text.encode("utf-8", "replace")
            # A larger number would arrive as a float, without its last digits.
            if len(data) <= job["max_bytes"] and re.search("[0-9]{19}", text):
                json.loads(text, parse_int=check_number)
        except BaseException as error:
            fail("the result can't be handed on as JSON: {}: {}".format(type(error).__name__, error))
        else:
            if len(data) > job["max_bytes"]:
                fail(job["too_long"])
            else:
                send(b"R", data)
    os.close(channel)


_drive()
