/* What the kernels are made of: the parameters of the formulas, sine and cosine, the exponential. float32; the sine and
   the cosine are wrong by less than one unit in the last place of 1 (6e-8), the exponential by less than two of its own.
*/

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define LANES 512 /* numbers that are read before their results are written, which may go to the same place */
#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT
#endif

typedef struct {
  float omega_0, held, omega_w, scale, floor, gain;
} parameters;

/* A phase beyond this is left to the C library, number by number. */
#define FAR 1e6f

/* sin x and cos x: x = k pi/2 + r with |r| <= pi/4, then polynomials in r. */
INLINE void sine_and_cosine(float x, float *sine, float *cosine, int *is_far, int by_library) {
  if (by_library) {
    *sine = sinf(x);
    *cosine = cosf(x);
    return;
  }
  *is_far |= !(fabsf(x) <= FAR);
#ifdef __FP_FAST_FMAF /* pi/2 in two floats: fused, the product with k loses nothing */
  float k = rintf(x * 0.63661977f);
  float r = fmaf(k, 4.3711388e-8f, fmaf(k, -1.5707964f, x));
#else
  double turns = rint(x * 0.6366197723675814);
  float r = (float)(x - turns * 1.5707963267948966), k = (float)turns;
#endif
  int32_t quarter = (int32_t)k;
  float s = r * r;
  float odd = r + r * s * (-1.6666654611e-1f + s * (8.3321608736e-3f + s * -1.9515295891e-4f));
  float half = 0.5f * s, rest = 1 - half;
  float even = rest + ((1 - rest - half) + s * s * (4.166664568e-2f + s * (-1.388731625e-3f + s * 2.443315712e-5f)));
  float in_sine = quarter & 1 ? even : odd, in_cosine = quarter & 1 ? odd : even;
  *sine = quarter & 2 ? -in_sine : in_sine;
  *cosine = (quarter + 1) & 2 ? -in_cosine : in_cosine;
}

/* exp(x): x = k ln 2 + r with |r| <= ln 2 / 2. Below -87 the smallest normal numbers, above 88 infinity. */
INLINE float exponential(float x) {
  int is_too_large = x > 88.0f;
  x = x < -87.0f ? -87.0f : is_too_large ? 88.0f : x;
  float k = rintf(x * 1.44269504f);
  float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  int32_t bits = ((int32_t)k + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return is_too_large ? INFINITY : p * power;
}

/* exp(x) of an envelope, 0 below the root of the smallest normal number (tails.py). */
INLINE float envelope(float x) {
  float size = exponential(x);
  return size < 1.0842022e-19f ? 0 : size;
}
