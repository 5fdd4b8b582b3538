/* The nonlinearities f and g, and their derivatives. The enum Nonlinearity (LINEAR and so on), which nonlinearities.py
   makes from its table, comes before this header. */
#ifndef SPARSE_AE_NONLINEARITIES_H
#define SPARSE_AE_NONLINEARITIES_H

namespace sparse_ae {

static inline double exp_(double x) { return std::exp(x); }
static inline double tanh_(double x) { return std::tanh(x); }

/* Cephes' single-precision exponential (S. Moshier, Methods and Programs for Mathematical Functions, 1989), without
   branches so that the compiler vectorises the loop around it; libm's costs more than the rest of a step at small k.
   Its error is at most 2 ulp. */
static inline float exp_(float x)
{
    x = x < -87.f ? -87.f : x;
    x = x > 88.f ? 88.f : x;
    const float n = __builtin_rintf(x * 1.44269504088896341f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    const npy_int32 bits = (npy_int32)((npy_uint32)((npy_int32)n + 127) << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* Cephes' too: an odd polynomial near 0, where 1 - 2 / (exp(2x) + 1) would cancel. */
static inline float tanh_(float x)
{
    const float z = x * x, a = std::fabs(x);
    const float c = ((-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f) * z + 1.33314422036e-1f;
    const float small = (c * z - 3.33332819422e-1f) * z * x + x;
    const float large = 1.f - 2.f / (exp_(2.f * a) + 1.f);
    return a < 0.625f ? small : (x < 0.f ? -large : large);
}

/* The slope of a rectifier below 0. */
template <int KIND, typename T> static inline T leak()
{
    return KIND == LEAKY_RECTIFY ? T(0.01) : KIND == VERY_LEAKY_RECTIFY ? T(1) / T(3) : T(0);
}

template <int KIND, typename T> static inline T apply(T x)
{
    switch (KIND) {
    case RECTIFY: return x < T(0) ? -T(0) : x + T(0);  // the sign of 0 is for the slope; NaN stays NaN
    case LEAKY_RECTIFY: case VERY_LEAKY_RECTIFY: return x < T(0) ? leak<KIND, T>() * x : x;
    case SIGMOID: return T(1) / (T(1) + exp_(-x));
    case TANH: return tanh_(x);
    default: return x;
    }
}

/* The derivative at x, from the value y = apply(x). */
template <int KIND, typename T> static inline T slope(T y)
{
    switch (KIND) {
    case RECTIFY: return y > T(0) ? T(1) : std::signbit(y) ? T(0) : T(0.5);  // at 0 as Theano has it
    case LEAKY_RECTIFY: case VERY_LEAKY_RECTIFY:
        return y > T(0) ? T(1) : y < T(0) ? leak<KIND, T>() : T(0.5) + T(0.5) * leak<KIND, T>();
    case SIGMOID: return y * (T(1) - y);
    case TANH: return T(1) - y * y;
    default: return T(1);
    }
}

/* Returns `function` of the arguments, with a nonlinearity that is known only at run time as its template argument: all
   of them share one compiled Op, and each loop has a constant. */
#define SPARSE_AE_BY_KIND(kind, function, ...)                                             \
    switch (kind) {                                                                        \
    case SIGMOID: return function<SIGMOID>(__VA_ARGS__);                                   \
    case TANH: return function<TANH>(__VA_ARGS__);                                         \
    case RECTIFY: return function<RECTIFY>(__VA_ARGS__);                                   \
    case LEAKY_RECTIFY: return function<LEAKY_RECTIFY>(__VA_ARGS__);                       \
    case VERY_LEAKY_RECTIFY: return function<VERY_LEAKY_RECTIFY>(__VA_ARGS__);             \
    default: return function<LINEAR>(__VA_ARGS__);                                         \
    }

template <int KIND, typename T> void apply_each(T *x, npy_intp n)
{
    for (npy_intp i = 0; i < n; i++) x[i] = apply<KIND>(x[i]);
}

template <typename T> void apply_each(int kind, T *x, npy_intp n) { SPARSE_AE_BY_KIND(kind, apply_each, x, n) }

template <int KIND, typename T> void times_slope(T *d, const T *y, npy_intp n)
{
    for (npy_intp i = 0; i < n; i++) d[i] *= slope<KIND>(y[i]);
}

/* d *= the derivative, from the values y. */
template <typename T> void times_slope(int kind, T *d, const T *y, npy_intp n)
{
    SPARSE_AE_BY_KIND(kind, times_slope, d, y, n)
}

}  // namespace sparse_ae

#endif
