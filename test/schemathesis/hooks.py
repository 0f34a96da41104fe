"""What Schemathesis sends besides what the document's schemas say: images, whole ones and broken ones."""

import base64
import io
import os
import re
import zlib

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st
from PIL import Image
from schemathesis.openapi.checks import RejectedPositiveData

# What the server decodes, in the words of Pillow.
FORMATS = {
    'image/jpeg': 'JPEG',
    'image/png': 'PNG',
    'image/webp': 'WEBP',
    'image/gif': 'GIF',
    'image/avif': 'AVIF',
    'image/tiff': 'TIFF',
}
SIZES = [(1, 1), (16, 16), (300, 200)]
MODES = ['RGB', 'L']


def encode(name: str, size: tuple[int, int], mode: str) -> bytes:
    image = Image.linear_gradient('L').resize(size).convert(mode)
    file = io.BytesIO()
    image.save(file, name)
    return file.getvalue()


WHOLE = {
    media_type: [encode(name, size, mode) for size in SIZES for mode in MODES] for media_type, name in FORMATS.items()
}
EVERY = [image for images in WHOLE.values() for image in images]
# The starts of images, images with other bytes in the place of some, and what is no image at all.
BROKEN = [*(image[: len(image) // 2] for image in EVERY), *(image[:40] + bytes(20) + image[60:] for image in EVERY)]
BROKEN += [b'<svg xmlns="http://www.w3.org/2000/svg"/>', b'%PDF-1.7', b'GIF89a']

# The first alternative is what a failing example shrinks to.
any_image = st.one_of(st.sampled_from(EVERY), st.sampled_from(BROKEN), st.binary(min_size=1, max_size=100))

for media_type, images in WHOLE.items():
    schemathesis.openapi.media_type(media_type, st.one_of(st.sampled_from(images), st.sampled_from(BROKEN)))
schemathesis.openapi.media_type('application/octet-stream', any_image)
schemathesis.openapi.format('base64', any_image.map(lambda image: base64.b64encode(image).decode()))


# Where images at URLs are.
ORIGIN = f'http://{os.environ["ORIGIN"]}'

# Values that the document cannot list, because each server and model has its own: what works, and what does not.
KNOWN = {
    'model': (['tinyimagenet-resnet18-w48', 'tinyimagenet-vgg11bn-w32', 'imagenet-efficientnet-lite0'], 'no-such-model'),
    'class': (['top', 'none', '0', '199', 'goldfish'], 'no such class'),
    'outputStride': ([16], 3),
    'size': ([64, 100, 250], 16384),
    'width': ([1, 100, 500], 16384),
    'deadlineMs': ([20_000, 3_600_000], 1),
    'version': (['1'], '9'),
    'url': ([f'{ORIGIN}/chelsea.png', f'{ORIGIN}/grace_hopper.jpg'], f'{ORIGIN}/none.jpg'),
}


# What is right by the document becomes what this server has: otherwise most requests would end at the first thing that is
# not there, and wrong ones would be refused for that alone. And OpenAPI has no parameter for Accept: each request asks for
# one of the forms that its answer has.
@schemathesis.hook
def map_case(context, case):
    is_right = case.meta is None or case.meta.generation.mode.is_positive
    schemas = {each['name']: each['schema'] for each in case.operation.definition.raw.get('parameters', [])}
    query = case.query if isinstance(case.query, dict) else {}

    # The same choice for the same request, so that a failure can be seen again.
    def pick(choices, *place):
        return choices[zlib.crc32(repr((case.media_type, query, place)).encode()) % len(choices)]

    def known(name, value):
        if isinstance(value, list):
            return [known(name, each) for each in value]
        works, fails = KNOWN[name]
        return pick([*works * 15, fails] if is_right else works, name, value)

    def is_valid(name, value):
        is_number = isinstance(value, str) and value.isdigit() and schemas[name]['type'] == 'integer'
        return jsonschema_rs.is_valid(schemas[name], int(value) if is_number else value)

    forms = [*case.operation.definition.raw['responses']['200'].get('content', {}), '*/*']
    case.headers = {**(case.headers or {}), 'Accept': pick(forms)}
    def made_known(values):
        return {
            name: known(name, value) if name in KNOWN and is_valid(name, value) else value
            for name, value in values.items()
        }

    # A form may have the same parameters, but none that is in the query, too.
    if case.media_type == 'multipart/form-data' and isinstance(case.body, dict):
        fields = {name: value for name, value in case.body.items() if not is_right or name not in query}
        fields = made_known(fields)
        # One that is set is judged anew.
        if fields != case.body:
            case.body = fields
    case.query = made_known(query)
    return case


# Rules between parameters, which no schema can say: a refusal for one of these alone is no disagreement.
RULES = [
    r'unless thresholdOf is value$',
    r'^must be at most 32 together with the number of classes named by class$',
    r'^must be from 1 to \d+$',  # topK: the classes of the model
    r'^too many for this number of images$',
    r'passes fit into the server$',
]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    wrong = response.json().get('errors', [])
    return not wrong or any(not any(re.search(rule, error['detail']) for rule in RULES) for error in wrong)
