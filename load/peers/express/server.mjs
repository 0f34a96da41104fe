/** One process, one image at a time: the handler that most people write first. */
import express from 'express';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import sharp from 'sharp';

const { size: SIZE, resize, range, interpolation, mean: MEAN, std: STD } = JSON.parse(process.env.INPUT);
const kernel = interpolation === 'bicubic' ? 'cubic' : 'linear';

const session = await InferenceSession.create(process.env.MODEL);
const app = express();
app.use(express.raw({ type: () => true, limit: '20mb' }));

app.get('/ready', (request, response) => response.sendStatus(200));

app.post('/classify', async (request, response) => {
  const { width, height } = await sharp(request.body).metadata();
  const factor = resize / Math.min(width, height);
  const [w, h] = [Math.round(width * factor), Math.round(height * factor)];
  const pixels = await sharp(request.body)
    .rotate()
    .resize(w, h, { fit: 'fill', kernel })
    .extract({ left: (w - SIZE) >> 1, top: (h - SIZE) >> 1, width: SIZE, height: SIZE })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer();
  const input = new Float32Array(3 * SIZE * SIZE);
  for (let i = 0; i < SIZE * SIZE; i++) {
    for (let c = 0; c < 3; c++) input[c * SIZE * SIZE + i] = (pixels[3 * i + c] / range - MEAN[c]) / STD[c];
  }
  const { logits } = await session.run({ input: new Tensor('float32', input, [1, 3, SIZE, SIZE]) });
  const top = Array.from(logits.data, (logit, index) => ({ index, logit }))
    .sort((a, b) => b.logit - a.logit)
    .slice(0, 5);
  response.json({ top });
});

app.listen(Number(process.env.PORT), '127.0.0.1');
