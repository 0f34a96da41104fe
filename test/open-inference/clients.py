"""
Clients of the Open Inference Protocol that other people wrote, against a running server: tritonclient in the ways of Triton's
examples (image_client, ensemble_image_client) and of OpenVINO Model Server's samples, and kserve's client. Ends in PASS, or with the
first answer that is wrong.

    python clients.py URL MODEL TOKEN PHOTO...
"""
import asyncio
import sys
from urllib.parse import urlparse

import numpy as np
import tritonclient.http as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

url, model, token, *paths = sys.argv[1:]
photos = [open(path, 'rb').read() for path in paths]
admin = {'Authorization': f'Bearer {token}'}
client = triton.InferenceServerClient(urlparse(url).netloc, concurrency=4)


def encoded(files, shape, binary=True):
    tensor = triton.InferInput('image', shape, 'BYTES')
    tensor.set_data_from_numpy(np.array(files, dtype=object).reshape(shape), binary_data=binary)
    return tensor


def refused(status, ask):
    try:
        ask()
    except InferenceServerException as error:
        assert status in str(error), error
        return
    raise AssertionError(f'not refused with {status}')


# Server and model, as image_client.py reads them.
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model, '1')
assert client.get_server_metadata()['name'] == 'fullconv'
metadata, config = client.get_model_metadata(model), client.get_model_config(model)
(source,), (scores,) = metadata['inputs'], metadata['outputs']
height, width, channels = config['input'][0]['dims']
assert source['shape'] == [-1, height, width, channels] and source['datatype'] == 'UINT8' and channels == 3
assert config['input'][0]['format'] == 'FORMAT_NHWC' and config['max_batch_size'] >= len(photos)
classes = scores['shape'][1]

# image_client.py: a batch of pixels, in binary, and classes.
pixels = np.stack([np.asarray(Image.open(path).convert('RGB').resize((width, height))) for path in paths])
tensor = triton.InferInput('image', pixels.shape, 'UINT8')
tensor.set_data_from_numpy(pixels, binary_data=True)
answer = client.infer(model, [tensor], request_id='7', outputs=[triton.InferRequestedOutput('scores', class_count=3)])
assert answer.get_response()['id'] == '7'
best = answer.as_numpy('scores')
assert best.shape == (len(photos), 3), best.shape
whole = client.infer(model, [tensor]).as_numpy('scores')
assert whole.shape == (len(photos), classes) and whole.dtype == np.float32
assert np.allclose(whole.sum(axis=1), 1, atol=1e-4)
for row, texts in zip(whole, best):
    order = np.argsort(-row, kind='stable')[:3]
    assert [int(text.decode().split(':')[1]) for text in texts] == order.tolist(), (texts, order)

# The same in JSON, compressed both ways, and without waiting.
tensor.set_data_from_numpy(pixels, binary_data=False)
plain = client.infer(model, [tensor], outputs=[triton.InferRequestedOutput('scores', binary_data=False)])
assert np.array_equal(plain.as_numpy('scores'), whole)
for coding in ['gzip', 'deflate']:
    packed = client.infer(model, [tensor], request_compression_algorithm=coding, response_compression_algorithm=coding)
    assert np.array_equal(packed.as_numpy('scores'), whole)
for asked in [client.async_infer(model, [tensor]) for _ in range(8)]:
    assert np.array_equal(asked.get_result().as_numpy('scores'), whole)

# ensemble_image_client.py and OpenVINO Model Server's samples: image files of any size, [N, 1] and [N].
column = client.infer(model, [encoded(photos, [len(photos), 1])]).as_numpy('scores')
row = client.infer(f'{model}.encoded', [encoded(photos, [len(photos)])]).as_numpy('scores')
assert np.array_equal(column, row)
for index, photo in enumerate(photos):
    alone = client.infer(model, [encoded([photo], [1])], timeout=60_000_000, priority=1).as_numpy('scores')
    assert np.array_equal(alone[0], row[index])

# Maps.
maps = client.infer(f'{model}.heatmap', [encoded(photos[:1], [1])])
assert maps.as_numpy('map').shape[:2] == (1, 1) and maps.as_numpy('classes').dtype == np.int64
assert maps.as_numpy('cells').shape == (1, 4)

# Errors, statistics, the repository.
refused('[404]', lambda: client.infer('nothing', [encoded(photos, [len(photos)])]))
refused('[400]', lambda: client.infer(model, [encoded([b'no image'], [1])]))
refused('[401]', lambda: client.unload_model(model))
(statistics,) = client.get_inference_statistics(model)['model_stats']
assert statistics['inference_stats']['success']['count'] >= 12 and statistics['inference_count'] >= 12 * len(photos)
assert {entry['name'] for entry in client.get_model_repository_index()} >= {model, f'{model}.encoded', f'{model}.heatmap'}
client.unload_model(model, headers=admin)
assert not client.is_model_ready(model)
client.load_model(model, headers=admin)
assert client.is_model_ready(model)
print('tritonclient: PASS')

try:
    from kserve import InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig
except ImportError:
    print("NOTICE: kserve's client is not there; it is not tried")
    sys.exit()


async def as_kserve():
    rest = InferenceRESTClient(RESTConfig(protocol='v2', retries=0, timeout=60))
    assert await rest.is_server_live(url) and await rest.is_server_ready(url) and await rest.is_model_ready(url, model)
    for binary in [True, False]:
        image = InferInput('image', list(pixels.shape), 'UINT8')
        image.set_data_from_numpy(pixels, binary_data=binary)
        answer = await rest.infer(url, InferRequest(model, [image]), model_name=model)
        assert np.array_equal(answer.outputs[0].as_numpy(), whole.astype(answer.outputs[0].as_numpy().dtype))
    files = InferInput('image', [len(photos)], 'BYTES')
    files.set_data_from_numpy(np.array(photos, dtype=object), binary_data=True)
    answer = await rest.infer(url, InferRequest(model, [files], parameters={'binary_data_output': True}), model_name=model)
    assert np.array_equal(answer.outputs[0].as_numpy(), row)


asyncio.run(as_kserve())
print('kserve: PASS')
